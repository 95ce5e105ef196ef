"""Browsers of people with each role."""

from collections.abc import Callable

import pytest
from django.test import Client

from apps.accounts.models import Role, User

SignIn = Callable[[Role], Client]


@pytest.fixture
def sign_in(db: None) -> SignIn:
    """A client of somebody with this role."""

    def make(role: Role) -> Client:
        client = Client()
        client.force_login(User.objects.create_user(f"{role}-person", role=role))
        return client

    return make


@pytest.fixture
def editor(sign_in: SignIn) -> Client:
    return sign_in(Role.EDITOR)


@pytest.fixture
def viewer(sign_in: SignIn) -> Client:
    return sign_in(Role.VIEWER)

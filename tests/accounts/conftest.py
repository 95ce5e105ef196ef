"""People with each role, signed in."""

from typing import Any, Protocol

import pytest
from django.test import Client

from apps.accounts.actors import Actor
from apps.accounts.models import Role, User

PASSWORD = "correct horse battery"


class MakePerson(Protocol):
    """The fixture `person`."""

    def __call__(self, username: str = ..., role: str = ..., **more: Any) -> User: ...


@pytest.fixture
def by() -> Actor:
    return Actor.system("test")


@pytest.fixture
def person(db: None) -> MakePerson:
    """Makes people: `person("ada", Role.EDITOR)`."""

    def make(username: str = "ada", role: str = Role.VIEWER, **more: Any) -> User:
        return User.objects.create_user(username, password=PASSWORD, role=role, **more)

    return make


@pytest.fixture
def admin(person: MakePerson) -> User:
    return person("root", Role.ADMIN)


@pytest.fixture
def as_admin(admin: User) -> Client:
    client = Client()
    client.force_login(admin)
    return client


HTMX = {"HX-Request": "true"}
"""Headers of a request by htmx for a fragment."""

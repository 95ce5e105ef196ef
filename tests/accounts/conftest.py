"""People with each role, signed in."""

import pytest
from django.test import Client

from apps.accounts.actors import Actor
from apps.accounts.models import Role, User

PASSWORD = "correct horse battery"


@pytest.fixture
def by() -> Actor:
    return Actor.system("test")


@pytest.fixture
def person(db):
    """Makes people: `person("ada", Role.EDITOR)`."""

    def make(username: str = "ada", role: Role = Role.VIEWER, **more: object) -> User:
        return User.objects.create_user(username, password=PASSWORD, role=role, **more)

    return make


@pytest.fixture
def admin(person) -> User:
    return person("root", Role.ADMIN)


@pytest.fixture
def as_admin(admin) -> Client:
    client = Client()
    client.force_login(admin)
    return client


HTMX = {"HX-Request": "true"}
"""Headers of a request by htmx for a fragment."""

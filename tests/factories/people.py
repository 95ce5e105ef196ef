"""Members, and browsers that they are signed in to."""

from django.test import Client

from apps.accounts.models import User


def client_as(role: str) -> Client:
    """Return a client in which a new member with this role is signed in."""
    client = Client()
    client.force_login(User.objects.create_user(role, password="x", role=role))
    return client

"""The reader of insights pages."""

import pytest
from django.test import Client

from apps.accounts.models import Role, User


@pytest.fixture
def viewer_client(client: Client) -> Client:
    client.force_login(User.objects.create_user("vi", role=Role.VIEWER))
    return client

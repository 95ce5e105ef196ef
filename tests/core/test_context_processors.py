"""Notices that every page carries."""

import pytest
from django.test import Client, override_settings

from apps.accounts.models import User

pytestmark = [pytest.mark.django_db]


@pytest.mark.parametrize("bundled", [True, False])
def test_pages_say_when_the_bundled_model_answers(client: Client, *, bundled: bool) -> None:
    client.force_login(User.objects.create(username="ada"))
    with override_settings(BUNDLED_MODEL=bundled):
        page = client.get("/calls/").content.decode()
    assert ("Demo model in use" in page) is bundled

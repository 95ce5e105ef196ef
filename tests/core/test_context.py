"""Notices that every page carries."""

import pytest
from django.test import Client
from pytest_django.fixtures import SettingsWrapper

from apps.accounts.models import User

pytestmark = [pytest.mark.django_db]


@pytest.mark.parametrize("bundled", [True, False])
def test_pages_say_when_the_bundled_model_answers(
    client: Client, settings: SettingsWrapper, *, bundled: bool
) -> None:
    settings.BUNDLED_MODEL = bundled
    client.force_login(User.objects.create(username="ada"))
    assert ("Bundled small model" in client.get("/calls/").content.decode()) is bundled

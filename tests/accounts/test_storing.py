"""What browsers and proxies may keep: nothing but static files."""

import pytest
from django.test import Client

from apps.accounts.models import Role, User
from tests.accounts.url_map import Url, urls


@pytest.mark.django_db
@pytest.mark.parametrize("url", urls(), ids=lambda url: url.key)
def test_no_page_is_stored(url: Url, admin: User) -> None:
    """Whatever it answers: a page, a redirect, an error."""
    assert admin.role == Role.ADMIN
    stranger, insider = Client(raise_request_exception=False), Client(raise_request_exception=False)
    insider.force_login(admin)
    for client in (stranger, insider):
        stored = client.get(url.path({}))
        assert "no-store" in stored.headers["Cache-Control"], stored.status_code
        assert "private" in stored.headers["Cache-Control"]


@pytest.mark.django_db
def test_signing_out_empties_the_cache(as_admin: Client) -> None:
    response = as_admin.post("/logout/")

    assert response.headers["Clear-Site-Data"] == '"cache"'
    assert "no-store" in response.headers["Cache-Control"]


@pytest.mark.django_db
def test_static_files_are_stored(client: Client) -> None:
    response = client.get("/static/js/theme.js")
    response.close()  # WhiteNoise answers with an open file; the end of a request asks connections

    assert response.status_code == 200
    assert "no-store" not in response.headers.get("Cache-Control", "")

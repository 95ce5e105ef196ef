"""What browsers and proxies may keep: static files, and no page (test_access_matrix.py)."""

import pytest
from django.test import Client


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/admin/login/", "/admin/logout/", "/nowhere/"])
def test_a_page_that_no_role_has_is_not_stored(path: str) -> None:
    stored = Client().get(path).headers["Cache-Control"]

    assert "no-store" in stored
    assert "private" in stored


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

"""Every URL by every role, against the table in access_table.py."""

from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from apps.accounts.actors import Actor
from apps.accounts.keys import create_api_key
from apps.accounts.models import Role, User
from tests.accounts.access_table import ACCESS, PUBLIC
from tests.accounts.url_map import Url, urls

pytestmark = pytest.mark.django_db

LOGIN = ("/login/?next=", "/admin/login/?next=")
FORM = "application/x-www-form-urlencoded"

URLS = urls()
PAGES = [url for url in URLS if not url.name.startswith("admin:")]
# Both of these only ever lead to the login page.
ADMIN_URLS = [
    url
    for url in URLS
    if url.name.startswith("admin:") and url.name not in {"admin:login", "admin:logout"}
]

PUBLIC_URLS = {
    "accounts:choose_password",
    "accounts:login",
    "healthz",
    "readyz",
}
"""What a stranger may see. Make this longer only with care."""


def _client(role: Role | None, *, api: bool) -> Client:
    client = Client(raise_request_exception=False)
    if role is None:
        return client
    if api:
        _, secret = create_api_key(name="matrix", role=role, by=Actor.system("test"))
        client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
    else:
        client.force_login(User.objects.create_user(f"a-{role}", role=role))
    return client


def _verdict(response: Any) -> str:
    location = response.headers.get("Location", "")
    if response.status_code == 401 or location.startswith(LOGIN):
        return "stranger"
    if response.status_code == 403:
        return "forbidden"
    return "error" if response.status_code == 500 else "allowed"


def _expected(needed: Role | None, role: Role | None) -> str:
    if needed is PUBLIC:
        return "allowed"
    if role is None:
        return "stranger"
    return "allowed" if role.allows(needed) else "forbidden"


@pytest.mark.parametrize("url", PAGES, ids=lambda url: url.name)
def test_each_role_gets_as_far_as_the_table_says(url: Url) -> None:
    assert url.name in ACCESS, (
        f"{url.name} ({url.path}) has no row in tests/accounts/access_table.py: add one"
    )
    body, kind = ("{}", "application/json") if url.is_api else ("", FORM)
    for role in (None, *Role):
        client = _client(role, api=url.is_api)
        for method, needed in ACCESS[url.name].items():
            with transaction.atomic():
                response = client.generic(method, url.path, body, content_type=kind)
                transaction.set_rollback(True)  # a sign-out must not spoil the next method
            verdict = _verdict(response)
            assert verdict == _expected(needed, role), (method, role, response.status_code)


@pytest.mark.parametrize("url", ADMIN_URLS, ids=lambda url: url.name)
def test_django_admin_is_for_admins(url: Url) -> None:
    verdicts = {role: _verdict(_client(role, api=False).get(url.path)) for role in (None, *Role)}
    admins = verdicts.pop(Role.ADMIN)

    # What is read-only is forbidden to admins too.
    assert admins in {"allowed", "forbidden"}
    assert verdicts.pop(None) == "stranger"
    assert set(verdicts.values()) == {"forbidden"}


@pytest.mark.parametrize(
    "url", [url for url in PAGES if url.name in ACCESS], ids=lambda url: url.name
)
def test_other_methods_are_not_allowed(url: Url) -> None:
    others = {"GET", "POST", "PUT", "PATCH", "DELETE"} - set(ACCESS[url.name])
    if url.name == "home":  # Django's RedirectView takes them all
        return
    client = _client(Role.ADMIN, api=url.is_api)

    assert {client.generic(method, url.path).status_code for method in others} == {405}


@pytest.mark.parametrize("url", [url for url in PAGES if url.is_api], ids=lambda url: url.name)
def test_a_session_does_not_open_the_api(url: Url) -> None:
    client = _client(Role.ADMIN, api=False)
    for method, needed in ACCESS.get(url.name, {}).items():
        if needed is not PUBLIC and "openapi" not in url.name:
            assert client.generic(method, url.path).status_code == 401


def test_the_public_urls_are_these() -> None:
    public = {name for name, needs in ACCESS.items() if PUBLIC in needs.values()}

    assert public == PUBLIC_URLS


def test_the_table_has_no_row_without_a_url() -> None:
    assert set(ACCESS) - {url.name for url in URLS} == set()

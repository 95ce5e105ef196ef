"""Every URL by every role, against the table in access_table.py, on things that exist.

No browser and no proxy may store what any of them answers: a page, a redirect, or an error.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client
from pytest_django import DjangoDbBlocker

from apps.accounts.actors import Actor
from apps.accounts.keys import create_api_key
from apps.accounts.models import Role, User
from tests.accounts.access_table import ACCESS, PUBLIC
from tests.accounts.things import things
from tests.accounts.url_map import Url, urls

pytestmark = pytest.mark.django_db

LOGIN = ("/login/?next=", "/admin/login/?next=")
FORM = "application/x-www-form-urlencoded"
BY = Actor.system("test")

URLS = urls()
PAGES = [url for url in URLS if not url.name.startswith("admin:")]
# Both of these only ever lead to the login page.
ADMIN_URLS = [
    url
    for url in URLS
    if url.name.startswith("admin:") and url.name not in {"admin:login", "admin:logout"}
]

PUBLIC_URLS = {
    "/api/",  # a 404 that names the documentation
    "/api/intake/<kind>/<source_id>",  # by the platform's signature
    "accounts:choose_password",
    "accounts:login",
    "accounts:sign_in_link",
    "accounts:sso_callback",
    "accounts:sso_start",
    "healthz",
    "readyz",
}
"""What a stranger may see. Make this longer only with care."""

TAKES_ANY_METHOD = {"/api/", "home"}


def _id(url: Url) -> str:
    return url.key


@dataclass(frozen=True)
class World:
    """What the matrix is tried on, made once: things that exist, and a way in for each role."""

    things: dict[str, str]
    sessions: dict[Role, str]
    keys: dict[Role, str]

    def client(self, role: Role | None, *, api: bool) -> Client:
        """A fresh client of this role; None is a stranger."""
        client = Client(raise_request_exception=False)
        if role is not None and api:
            client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {self.keys[role]}"
        elif role is not None:
            client.cookies[settings.SESSION_COOKIE_NAME] = self.sessions[role]
        return client


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[World]:
    """In one transaction around all tests of this module, each of which rolls back its own."""
    with django_db_blocker.unblock(), transaction.atomic():
        sessions, keys = {}, {}
        for role in Role:
            client = Client()
            client.force_login(User.objects.create_user(f"a-{role}", role=role))
            sessions[role] = client.cookies[settings.SESSION_COOKIE_NAME].value
            keys[role] = create_api_key(name="matrix", role=role, by=BY)[1]
        yield World(things(), sessions, keys)
        transaction.set_rollback(True)


def _verdict(response: Any) -> str:
    location = response.headers.get("Location", "")
    if response.status_code == 401 or location.startswith(LOGIN):
        return "stranger"
    if response.status_code == 403:
        return "forbidden"
    return "error" if response.status_code == 500 else "allowed"


def _is_stored(response: Any) -> bool:
    """Whether browsers or proxies may keep a response."""
    control = response.headers["Cache-Control"]
    return "no-store" not in control or "private" not in control


def _expected(needed: Role | None, role: Role | None) -> str:
    if needed is PUBLIC:
        return "allowed"
    if role is None:
        return "stranger"
    return "allowed" if role.allows(needed) else "forbidden"


@pytest.mark.parametrize("url", PAGES, ids=_id)
def test_each_role_gets_as_far_as_the_table_says_and_nothing_is_stored(
    url: Url, world: World
) -> None:
    assert url.key in ACCESS, f"{url.key} has no row in tests/accounts/access_table.py: add one"
    path = url.path(world.things, otherwise="none-such")
    body, kind = ("{}", "application/json") if url.is_api else ("", FORM)
    for role in (None, *Role):
        client = world.client(role, api=url.is_api)
        for method, needed in ACCESS[url.key].items():
            with transaction.atomic():
                response = client.generic(method, path, body, content_type=kind)
                transaction.set_rollback(True)  # a sign-out must not spoil the next method
            verdict = _verdict(response)
            assert verdict == _expected(needed, role), (method, path, role, response.status_code)
            assert not _is_stored(response), (method, path, role)


@pytest.mark.parametrize("url", ADMIN_URLS, ids=_id)
def test_django_admin_is_for_admins_and_nothing_is_stored(url: Url, world: World) -> None:
    path = url.path({})
    responses = {role: world.client(role, api=False).get(path) for role in (None, *Role)}
    assert not any(map(_is_stored, responses.values()))
    verdicts = {role: _verdict(response) for role, response in responses.items()}
    admins = verdicts.pop(Role.ADMIN)

    # What is read-only is forbidden to admins too.
    assert admins in {"allowed", "forbidden"}
    assert verdicts.pop(None) == "stranger"
    assert set(verdicts.values()) == {"forbidden"}


@pytest.mark.parametrize("url", [url for url in PAGES if url.key in ACCESS], ids=_id)
def test_other_methods_are_not_allowed(url: Url, world: World) -> None:
    if url.key in TAKES_ANY_METHOD:
        return
    others = {"GET", "POST", "PUT", "PATCH", "DELETE"} - set(ACCESS[url.key])
    client = world.client(Role.ADMIN, api=url.is_api)

    answers = {
        method: client.generic(method, url.path(world.things)).status_code for method in others
    }

    assert answers == dict.fromkeys(others, 405)


@pytest.mark.parametrize("url", [url for url in PAGES if url.is_api], ids=_id)
def test_a_session_does_not_open_the_api(url: Url, world: World) -> None:
    if url.name in {"api:openapi-json", "api:openapi-view"}:
        return  # the documentation is for people too
    client = world.client(Role.ADMIN, api=False)

    for method, needed in ACCESS.get(url.key, {}).items():
        if needed is not PUBLIC:
            assert client.generic(method, url.path(world.things)).status_code == 401


@pytest.mark.parametrize("url", [url for url in PAGES if url.takes_text_id], ids=_id)
def test_an_id_that_no_database_can_hold_is_not_found(url: Url, world: World) -> None:
    client = world.client(Role.ADMIN, api=url.is_api)
    numbers = {name: world.things[name] for name in ("pk", "index")}
    for method in ACCESS.get(url.key, {}):
        for odd in ("a%00b", "%F0%9F%92%A9", "x" * 5000):
            path = url.path(numbers, otherwise=odd)
            assert client.generic(method, path).status_code in {400, 404}, (method, path[:60])


def test_the_public_urls_are_these() -> None:
    public = {key for key, needs in ACCESS.items() if PUBLIC in needs.values()}

    assert public == PUBLIC_URLS


def test_the_table_has_no_row_without_a_url() -> None:
    assert set(ACCESS) - {url.key for url in URLS} == set()

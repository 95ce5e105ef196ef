from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from apps.accounts.access import role_required
from apps.accounts.actors import Actor, actor_of
from apps.accounts.api_auth import KeyAuth, session_or_key
from apps.accounts.context_processors import access
from apps.accounts.keys import create_api_key
from apps.accounts.models import Role, User
from apps.core.errors import Refused
from tests.accounts.conftest import MakePerson

pytestmark = pytest.mark.django_db


@role_required(Role.EDITOR)
def guarded(request: HttpRequest) -> HttpResponse:
    return HttpResponse("in")


def page(request: HttpRequest) -> HttpResponse:
    response = guarded(request)
    assert isinstance(response, HttpResponse)
    return response


@session_or_key
def docs(request: HttpRequest) -> HttpResponse:
    return HttpResponse("in")


def _request(user: User | None = None, path: str = "/agents/", **headers: Any) -> HttpRequest:
    request = RequestFactory().get(path, headers=headers)
    request.user = user or AnonymousUser()
    return request


def test_lets_the_role_and_those_above_in(person: MakePerson) -> None:
    for role in (Role.EDITOR, Role.ADMIN):
        assert page(_request(person(role, role))).content == b"in"


def test_refuses_in_words_for_a_person(person: MakePerson) -> None:
    with pytest.raises(PermissionDenied, match="You have the Viewer role"):
        page(_request(person()))


def test_refuses_in_plain_text_for_htmx(person: MakePerson) -> None:
    response = page(_request(person(), **{"HX-Request": "true"}))

    assert response.status_code == 403
    assert response.headers["Content-Type"].startswith("text/plain")
    assert "requires the Editor role" in response.text


@pytest.mark.parametrize(
    ("path", "headers"), [("/api/agents", {}), ("/agents/", {"Accept": "application/json"})]
)
def test_refuses_in_json_for_a_program(
    person: MakePerson, path: str, headers: dict[str, str]
) -> None:
    stranger = page(_request(None, path, **headers))
    viewer = page(_request(person(), path, **headers))

    assert (stranger.status_code, viewer.status_code) == (401, 403)
    assert b'"code": "forbidden"' in viewer.content


def test_sends_a_stranger_to_the_login() -> None:
    response = page(_request())

    assert response.headers["Location"] == "/login/?next=/agents/"


def test_an_api_key_counts_as_its_role(by: Actor) -> None:
    key, _ = create_api_key(name="k", role=Role.EDITOR, by=by)
    request = _request()
    request.actor = Actor.of_key(key)  # type: ignore[attr-defined]  # as KeyAuth does

    assert page(request).content == b"in"


class TestKeyAuth:
    def _auth(self, secret: str, needed: Role = Role.VIEWER) -> tuple[Actor | None, HttpRequest]:
        request = _request(Authorization=f"Bearer {secret}")
        return KeyAuth(needed)(request), request

    def test_gives_the_actor(self, by: Actor) -> None:
        key, secret = create_api_key(name="k", role=Role.OPERATOR, by=by)

        actor, request = self._auth(secret)

        assert actor == actor_of(request) == Actor.of_key(key)

    def test_nothing_for_a_wrong_key(self) -> None:
        assert self._auth("dbk_x")[0] is None

    def test_asks_for_its_role(self, by: Actor) -> None:
        _, secret = create_api_key(name="k", role=Role.OPERATOR, by=by)

        with pytest.raises(Refused, match="requires the Admin role"):
            self._auth(secret, Role.ADMIN)

    def test_a_session_alone_is_nothing(self, person: MakePerson) -> None:
        assert KeyAuth()(_request(person(role=Role.ADMIN))) is None


def test_the_documentation_opens_to_people_and_keys(person: MakePerson, by: Actor) -> None:
    _, secret = create_api_key(name="k", role=Role.VIEWER, by=by)

    assert docs(_request(person())).status_code == 200
    assert docs(_request(Authorization=f"Bearer {secret}")).status_code == 200
    assert docs(_request(Authorization="Bearer no")).status_code == 401
    assert docs(_request()).status_code == 401


def test_pages_know_what_to_offer(person: MakePerson) -> None:
    may = access(_request(person(role=Role.OPERATOR)))["may"]

    assert may == {"viewer": True, "operator": True, "editor": False, "admin": False}
    assert access(_request())["may"] == {}
    assert access(RequestFactory().get("/"))["may"] == {}

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.test import RequestFactory

from apps.accounts.actors import LABEL_MAX, Actor, actor_of
from apps.accounts.keys import create_api_key
from apps.accounts.models import AuditEntry, Role, User
from tests.accounts.conftest import MakePerson

pytestmark = pytest.mark.django_db


def _request(user: User | AnonymousUser) -> HttpRequest:
    request = RequestFactory().get("/")
    request.user = user
    return request


def test_a_person(person: MakePerson) -> None:
    user = person("ada", Role.EDITOR)

    actor = actor_of(_request(user))

    assert actor == Actor("ada", Role.EDITOR, user.pk, AuditEntry.Via.WEB)


def test_a_stranger_is_nobody() -> None:
    with pytest.raises(PermissionDenied):
        actor_of(_request(AnonymousUser()))


def test_a_deactivated_person_is_nobody(person: MakePerson) -> None:
    with pytest.raises(PermissionDenied):
        actor_of(_request(person(is_active=False)))


def test_a_key_goes_before_the_session(person: MakePerson, by: Actor) -> None:
    request = _request(person())
    key, _ = create_api_key(name="Export", role=Role.OPERATOR, by=by)
    request.actor = Actor.of_key(key)  # type: ignore[attr-defined]  # as KeyAuth does

    actor = actor_of(request)

    assert actor.label == f"API key Export ({key.prefix})"
    assert (actor.role, actor.user_id, actor.via) == (Role.OPERATOR, None, "api")


def test_system_and_commands_may_do_everything() -> None:
    assert Actor.system("sweep") == Actor("system: sweep", Role.ADMIN, None, AuditEntry.Via.SYSTEM)
    assert Actor.command("backfill").via == "command"


def test_labels_fit_their_columns(person: MakePerson) -> None:
    user = person("ada", first_name="A" * 150, last_name="B" * 150)

    assert len(Actor.of_user(user).label) == LABEL_MAX
    assert len(Actor.system("x" * 500).label) == LABEL_MAX

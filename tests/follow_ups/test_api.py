"""Follow-ups over the API, and their webhook event."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import Role, User
from apps.follow_ups.models import FollowUp
from apps.webhooks.models import Event
from tests.api.conftest import Caller
from tests.factories import make_agent, make_conversation, make_endpoint, make_follow_up

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator() -> Caller:
    return Caller(Role.OPERATOR)


def add(caller: Caller, **body: Any) -> Any:
    return caller.post("/follow-ups", body)


def patch(caller: Caller, path: str, body: Any) -> Any:
    return caller.send("PATCH", path, body)


def items(caller: Caller, **params: str) -> Any:
    return caller.get("/follow-ups", **params)


def test_added_changed_finished_and_reopened(operator: Caller) -> None:
    conversation = make_conversation(make_agent())
    User.objects.create_user("ada", role="operator")
    response = add(
        operator,
        conversation_id=conversation.public_id,
        reason="Call back",
        owner="ada",
        due_at="2031-03-02T12:00:00Z",
    )
    assert response.status_code == 201
    body = response.json()
    assert body["id"].startswith("fu_")
    assert (body["state"], body["owner"], body["origin"]) == ("open", "ada", "person")
    assert body["due_at"] == "2031-03-02T12:00:00Z"
    here = f"/follow-ups/{body['id']}"

    changed = patch(operator, here, {"owner": None, "note": "Left a message."}).json()
    assert (changed["owner"], changed["note"], changed["reason"]) == (
        None,
        "Left a message.",
        "Call back",
    )
    done = patch(operator, here, {"state": "done"}).json()
    assert done["state"] == "done"
    assert done["done_at"]
    assert done["done_by"].startswith("API key")
    assert patch(operator, here, {"state": "open"}).json()["done_at"] is None


def test_rejections(operator: Caller) -> None:
    conversation = make_conversation(make_agent())
    ok = {"conversation_id": conversation.public_id}
    assert add(operator, **ok).status_code == 201
    second = add(operator, **ok)
    assert (second.status_code, second.json()["error"]["code"]) == (409, "follow_up_exists")
    for body, field in [
        ({"conversation_id": "conv_x"}, "conversation_id"),
        (ok | {"owner": "eve"}, "owner"),
        (ok | {"due_at": "soon"}, "due_at"),
        (ok | {"due_at": "9999-12-31T23:59:59-12:00"}, "due_at"),
        (ok | {"reason": "x" * 1001}, "reason"),
        ({}, "conversation_id"),
    ]:
        refused = add(operator, **body)
        assert refused.status_code == 422
        assert field in refused.json()["error"]["fields"]
    old = make_follow_up(conversation, done_at=timezone.now())
    again = patch(operator, f"/follow-ups/{old.public_id}", {"state": "open"})
    assert again.status_code == 409


def test_the_list_is_filtered(operator: Caller) -> None:
    now = timezone.now()
    ada = User.objects.create_user("ada", role="operator")
    late = make_follow_up(due_at=now - timedelta(hours=1), owner=ada)
    free = make_follow_up()
    done = make_follow_up(done_at=now, owner=ada)

    def ids(**params: str) -> list[str]:
        return [item["id"] for item in items(operator, **params).json()["items"]]

    names = [row.public_id for row in (done, free, late)]
    assert ids() == names
    assert ids(state="open") == names[1:]
    assert ids(state="done") == names[:1]
    assert ids(owner="ada", state="open") == [late.public_id]
    assert ids(owner="") == [free.public_id]
    assert ids(overdue="true") == [late.public_id]
    assert ids(agent=free.conversation.agent.public_id) == [free.public_id]
    assert ids(conversation=done.conversation.public_id) == [done.public_id]
    assert operator.get("/follow-ups", state="later").status_code == 400


def test_an_added_follow_up_is_sent_to_webhooks(operator: Caller) -> None:
    agent = make_agent()
    conversation = make_conversation(agent)
    make_endpoint(events=["follow_up.added"])
    make_endpoint(events=["follow_up.added"], agent=make_agent())

    body = add(operator, conversation_id=conversation.public_id, reason="Call back").json()

    event = Event.objects.get()
    assert event.deliveries.count() == 1
    payload = json.loads(event.payload)
    assert payload["event"] == "follow_up.added"
    assert payload["conversation_id"] == conversation.public_id
    assert payload["agent_id"] == agent.public_id
    told = payload["follow_up"]
    assert (told["id"], told["reason"], told["state"]) == (body["id"], "Call back", "open")
    assert payload["conversation"]["external_id"] == conversation.external_id
    FollowUp.objects.get(public_id=body["id"])

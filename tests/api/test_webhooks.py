"""Webhooks over the API: made with a secret, listed without it, looked at, ended."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpResponse

from apps.accounts.models import IdempotencyKey, Role
from apps.webhooks.models import Delivery, Endpoint, EventType
from tests.factories import make_agent, make_conversation
from tests.fakes.receiver import Receiver
from tests.webhooks.deliveries import deliver, endpoint_to, happened

from .conftest import Caller

pytestmark = pytest.mark.django_db

BODY = {"url": "https://8.8.8.8/hook", "events": ["conversation.analyzed"]}


def read(answer: HttpResponse) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.content)
    return found


@pytest.fixture
def admin(db: None) -> Caller:
    return Caller(Role.ADMIN)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.close()


def test_an_endpoint_is_made_listed_and_deleted(admin: Caller) -> None:
    agent = make_agent()

    made = admin.post("/webhooks", {**BODY, "agent_id": agent.public_id})

    endpoint = read(made)
    assert made.status_code == 201
    assert endpoint.pop("secret").startswith("whsec_")
    assert (endpoint["url"], endpoint["events"]) == (BODY["url"], BODY["events"])
    assert (endpoint["agent_id"], endpoint["state"]) == (agent.public_id, "enabled")
    listed = read(admin.get("/webhooks", include_total="true"))
    assert listed == {"items": [endpoint], "next_cursor": None, "total": 1}
    gone = admin.send("DELETE", f"/webhooks/{endpoint['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert admin.send("DELETE", f"/webhooks/{endpoint['id']}").status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "invalid_endpoint"),
        ({**BODY, "url": "ftp://x"}, 422, "invalid_endpoint"),
        ({**BODY, "url": 5}, 422, "invalid_value"),
        ({**BODY, "url": "http://127.0.0.1/"}, 422, "private_address"),
        ({**BODY, "events": []}, 422, "invalid_endpoint"),
        ({**BODY, "events": ["lunch"]}, 422, "invalid_endpoint"),
        ({**BODY, "events": "conversation.ended"}, 422, "invalid_value"),
        ({**BODY, "events": [5]}, 422, "invalid_value"),
        ({**BODY, "agent_id": "agt_none"}, 422, "unknown_agent"),
        ({**BODY, "secret": "mine"}, 422, "unknown_keys"),
    ],
)
def test_bodies_refused(admin: Caller, body: object, status: int, code: str) -> None:
    answer = admin.post("/webhooks", body)
    assert (answer.status_code, read(answer)["error"]["code"]) == (status, code)
    assert not Endpoint.objects.exists()


def test_a_secret_is_made_once_for_one_idempotency_key(admin: Caller) -> None:
    one = admin.post("/webhooks", BODY, **{"Idempotency-Key": "k1"})
    two = admin.post("/webhooks", BODY, **{"Idempotency-Key": "k1"})
    assert read(one) == read(two)
    assert Endpoint.objects.count() == 1
    kept = IdempotencyKey.objects.get(key="k1").body
    assert "whsec_" not in kept, "a copy of the database must not read a secret"


def test_deliveries_and_tests_are_shown(admin: Caller, receiver: Receiver, settings: Any) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = True
    endpoint = endpoint_to(receiver.url, EventType.CONVERSATION_ENDED)
    conversation = make_conversation(make_agent())
    happened(conversation)
    sent = admin.post(f"/webhooks/{endpoint.public_id}/test", {})
    deliver()

    answer = read(admin.get(f"/webhooks/{endpoint.public_id}/deliveries"))["items"]

    assert sent.status_code == 202
    assert read(sent) == {"event_ids": [answer[0]["event_id"]]}
    assert [d["test"] for d in answer] == [True, False]
    assert answer[1]["conversation_id"] == conversation.public_id
    assert (answer[1]["state"], answer[1]["status"], answer[1]["attempts"]) == ("delivered", 204, 1)
    assert answer[1]["event_id"] in answer[1]["request"]
    assert answer[1]["next_attempt_at"] is None
    path = f"/webhooks/{endpoint.public_id}/deliveries"
    assert read(admin.get(path, state="failed"))["items"] == []
    assert admin.get(path, state="lost").status_code == 400
    assert admin.get(path, colour="red").status_code == 400
    assert Delivery.objects.count() == 2


def test_a_disabled_endpoint_takes_no_test(admin: Caller) -> None:
    endpoint = endpoint_to("https://example.com/")
    url = f"/webhooks/{endpoint.public_id}/test"
    assert admin.post(url, {"events": ["lunch"]}).status_code == 422
    Endpoint.objects.update(disabled_at="2025-01-01T00:00:00Z", disabled_reason="Off.")
    assert read(admin.post(url, {}))["error"]["code"] == "not_sendable"


def test_a_rerun_says_what_it_sets_off(admin: Caller) -> None:
    conversation = make_conversation(make_agent())
    url = f"/conversations/{conversation.public_id}/analysis/rerun"
    refused = admin.post(url, {"side_effects": {"webhooks": "some"}})
    assert (refused.status_code, read(refused)["error"]["code"]) == (422, "invalid_side_effects")

    admin.post(url, {"side_effects": {"webhooks": "changed", "contacts": False}})

    analysis = conversation.analyses.get()
    assert analysis.webhooks == "changed"

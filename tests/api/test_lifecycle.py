"""A conversation that is written as it happens, over the REST API."""

import json
from typing import Any

import pytest

from apps.agents.models import Agent
from apps.analysis.models import Analysis
from apps.conversations.models import Conversation
from tests.factories import make_agent

from .conftest import Caller

pytestmark = [pytest.mark.django_db]

HELLO = {"role": "agent", "content": "Hello"}
BILL = {"role": "customer", "content": "My bill is wrong."}


@pytest.fixture
def agent() -> Agent:
    return make_agent(channel="chat")


@pytest.fixture
def thread(operator: Caller, agent: Agent) -> str:
    """The path of a chat that was opened."""
    sent = {"agent_id": agent.public_id, "channel": "chat", "status": "ongoing"}
    answer = operator.post("/conversations", sent)
    assert answer.status_code == 201
    return f"/conversations/{json.loads(answer.content)['id']}"


def body(answer: Any) -> Any:
    return json.loads(answer.content)


def test_opened_appended_to_and_closed(operator: Caller, thread: str) -> None:
    reason = body(operator.get(f"{thread}/analysis"))["error"]["reason"]
    assert reason == "not_ended"
    answer = operator.post(f"{thread}/messages", {"messages": [HELLO, BILL]})
    assert (answer.status_code, body(answer)["message_count"]) == (200, 2)
    assert body(answer)["status"] == "ongoing"
    closed = operator.post(f"{thread}/close", {"disconnection_reason": "user_left"})
    assert closed.status_code == 200
    shown = body(closed)
    assert (shown["status"], shown["analysis_state"]) == ("ended", "pending")
    assert shown["disconnection_reason"] == "user_left"
    again = operator.post(f"{thread}/close", {"status": "error"})
    assert (again.status_code, body(again)["status"]) == (200, "ended")
    assert Analysis.objects.count() == 1
    whole = body(operator.get(thread))
    assert [m["role"] for m in whole["messages"]] == ["agent", "user"]


def test_a_request_without_an_answer_is_sent_again(operator: Caller, thread: str) -> None:
    for _ in range(2):  # by position
        answer = operator.post(f"{thread}/messages", {"messages": [HELLO], "after": 0})
        assert body(answer)["message_count"] == 1
    for _ in range(2):  # by key
        answer = operator.post(
            f"{thread}/messages", {"messages": [BILL]}, **{"Idempotency-Key": "turn-2"}
        )
        assert body(answer)["message_count"] == 2


def test_a_gap_is_a_conflict_that_names_the_count(operator: Caller, thread: str) -> None:
    answer = operator.post(f"{thread}/messages", {"messages": [BILL], "after": 3})
    assert answer.status_code == 409
    assert body(answer)["error"]["code"] == "out_of_step"
    assert "there are only 0 messages" in body(answer)["error"]["message"]


def test_going_on_after_the_end(operator: Caller, thread: str) -> None:
    operator.post(f"{thread}/messages", {"messages": [HELLO, BILL]})
    operator.post(f"{thread}/close", {"analysis": {"chat_summary": "Wrong bill"}})
    shown = body(operator.post(f"{thread}/messages", {"messages": [BILL]}))
    assert (shown["status"], shown["stale"], shown["ended_at"]) == ("ongoing", True, None)
    assert shown["analysis"] == {"chat_summary": "Wrong bill"}
    operator.post(f"{thread}/close")
    assert Analysis.objects.open().get().trigger == "initial"


@pytest.mark.parametrize(
    ("path", "sent", "code"),
    [
        ("messages", {}, "missing_field"),
        ("messages", {"messages": "hello"}, "invalid_value"),
        ("messages", {"messages": [BILL], "after": "2"}, "invalid_value"),
        ("messages", {"messages": [BILL], "aftr": 2}, "unknown_keys"),
        ("close", {"status": "ongoing"}, "invalid_value"),
        ("close", {"ended_at": "yesterday"}, "invalid_value"),
        ("close", {"analysis": "good"}, "invalid_value"),
        ("close", {"reason": "x"}, "unknown_keys"),
    ],
)
def test_what_is_refused_changes_nothing(
    operator: Caller, thread: str, path: str, sent: dict[str, Any], code: str
) -> None:
    before = Conversation.objects.values().get()
    answer = operator.post(f"{thread}/{path}", sent)
    assert answer.status_code == 422
    assert body(answer)["error"]["code"] == code
    assert body(answer)["error"]["fields"]
    assert Conversation.objects.values().get() == before


@pytest.mark.parametrize("path", ["messages", "close"])
def test_who_may_and_what_is_missing(
    operator: Caller, viewer: Caller, thread: str, path: str
) -> None:
    sent = {"messages": [BILL]} if path == "messages" else {}
    assert viewer.post(f"{thread}/{path}", sent).status_code == 403
    missing = operator.post(f"/conversations/conv_none/{path}", sent)
    assert (missing.status_code, body(missing)["error"]["code"]) == (404, "not_found")
    assert operator.get(f"{thread}/{path}").status_code == 405


@pytest.mark.parametrize("path", ["messages", "close"])
def test_one_that_is_erased_at_this_moment_is_missing(
    operator: Caller, thread: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(pk: int) -> Conversation:
        Conversation.objects.filter(pk=pk).delete()
        raise Conversation.DoesNotExist

    monkeypatch.setattr("apps.intake.live.lock_conversation", gone)
    sent = {"messages": [BILL]} if path == "messages" else {}
    assert operator.post(f"{thread}/{path}", sent).status_code == 404

"""Conversations, analyses and reruns over the REST API."""

import json
from typing import Any

import pytest
from django.test import Client

from apps.analysis.models import Analysis
from apps.conversations.models import Conversation
from tests.factories import edit_prompt, make_agent, make_conversation, make_conversations

from .conftest import Caller

pytestmark = [pytest.mark.django_db]


def body_of(agent_id: str, **more: object) -> dict[str, object]:
    messages = [
        {"role": "agent", "content": "Hello"},
        {"role": "customer", "content": "My bill is wrong."},
    ]
    return {"agent_id": agent_id, "channel": "voice", "messages": messages, **more}


def test_strangers_are_refused(client: Client) -> None:
    for headers in ({}, {"Authorization": "Bearer dbk_nonsense"}):
        answer = client.get("/api/conversations", headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "unauthorized"


def test_create_and_again(operator: Caller) -> None:
    agent = make_agent()
    sent = body_of(agent.public_id, external_id="c-1", metadata={"plan": "gold"}, tier="A")
    first = operator.post("/conversations", sent)
    again = operator.post("/conversations", sent)
    assert (first.status_code, again.status_code) == (201, 200)
    shown = json.loads(first.content)
    assert shown["id"] == json.loads(again.content)["id"]
    assert shown["metadata"] == {"plan": "gold", "tier": "A"}
    assert [m["role"] for m in shown["messages"]] == ["agent", "user"]
    assert shown["analysis_state"] == "pending"


def test_one_conversation_costs_a_fixed_number_of_statements(
    operator: Caller, django_assert_num_queries: Any
) -> None:
    """One transaction stores it and queues its first analysis (docs/benchmarks.md, S6)."""
    agent = make_agent()
    operator.post("/conversations", body_of(agent.public_id, external_id="before"))
    with django_assert_num_queries(10):
        answer = operator.post("/conversations", body_of(agent.public_id, external_id="this"))
    assert answer.status_code == 201
    assert json.loads(answer.content)["analysis_state"] == "pending"


def test_the_answer_shows_the_transfers_that_were_stored(operator: Caller) -> None:
    first, second = make_agent(), make_agent()
    steps = [{"after_message": 1, "to_agent_id": second.public_id}]
    sent = body_of(first.public_id, external_id="moved", transfers=steps)
    made, again = (json.loads(operator.post("/conversations", sent).content) for _ in range(2))
    assert made["transfers"] == again["transfers"]
    assert [t["to_agent_id"] for t in made["transfers"]] == [second.public_id]


def test_an_imported_result_is_the_current_one(operator: Caller) -> None:
    agent = make_agent()
    sent = body_of(agent.public_id, analysis={"call_summary": "Wrong bill.", "mood": "bad"})
    made = json.loads(operator.post("/conversations", sent).content)
    answer = operator.get(f"/conversations/{made['id']}/analysis")
    shown = json.loads(answer.content)
    assert shown["analysis"] == {"call_summary": "Wrong bill.", "mood": "bad"}
    assert shown["trigger"] == "imported"


def test_bulk_names_every_refused_line(operator: Caller) -> None:
    agent = make_agent()
    lines = [json.dumps(body_of(agent.public_id, external_id=f"b-{n}")) for n in range(3)]
    lines.insert(1, "{not json")
    lines.insert(3, json.dumps({"channel": "voice", "messages": [], "agent_id": "agt_none"}))
    answer = json.loads(operator.ndjson("/conversations/bulk", "\n".join(lines)).content)
    assert (answer["accepted"], answer["refused"]) == (3, 2)
    assert [error["line"] for error in answer["errors"]] == [2, 4]
    assert all(error["message"] for error in answer["errors"])


def test_an_empty_bulk_body_is_an_empty_import(operator: Caller) -> None:
    answer = operator.ndjson("/conversations/bulk", "")
    assert json.loads(answer.content)["accepted"] == 0


@pytest.mark.parametrize("path", ["/conversations/bulk", "/conversations", "/agents"])
def test_a_server_that_cannot_read_chunks_says_so(operator: Caller, path: str) -> None:
    """Django reads nothing where no length is given; the gateway always gives one."""
    head = {**operator.headers, "Transfer-Encoding": "chunked"}
    answer = operator.client.generic("POST", f"/api{path}", b"", headers=head)
    assert answer.status_code == 411
    assert json.loads(answer.content)["error"]["code"] == "length_required"


def test_the_list_filters_and_pages(viewer: Caller) -> None:
    agent = make_agent()
    make_conversations(agent, 5)
    make_conversation(make_agent(), external_id="other")
    seen, cursor = [], None
    while True:
        more: dict[str, str] = {"cursor": cursor} if cursor else {}
        page = json.loads(
            viewer.get("/conversations", agent=agent.public_id, limit=2, **more).content
        )
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert sorted(seen) == sorted(
        Conversation.objects.filter(agent=agent).values_list("public_id", flat=True)
    )
    total = json.loads(viewer.get("/conversations", include_total="true").content)
    assert total["total"] == 6


@pytest.mark.parametrize(
    "params",
    [
        {"nonsense": "1"},
        {"duration_ms__gt": "soon"},
        {"agent__gt": "x"},
        {"limit": "0"},
        {"channel": "fax"},
        {"cursor": "x"},
    ],
)
def test_a_bad_parameter_is_refused_and_lists_nothing(
    viewer: Caller, params: dict[str, str]
) -> None:
    make_conversation(make_agent())
    answer = viewer.get("/conversations", **params)
    assert answer.status_code == 400
    error = json.loads(answer.content)["error"]
    assert error["message"]


def test_no_analysis_says_why(viewer: Caller) -> None:
    ongoing = make_conversation(make_agent(), status="ongoing")
    answer = viewer.get(f"/conversations/{ongoing.public_id}/analysis")
    error = json.loads(answer.content)["error"]
    assert answer.status_code == 404
    assert (error["code"], error["reason"]) == ("not_analyzed", "not_ended")


def test_rerun_uses_the_draft_or_a_published_version(operator: Caller) -> None:
    agent = make_agent()
    conversation = make_conversation(agent)
    draft = edit_prompt(agent, "In five words.")
    path = f"/conversations/{conversation.public_id}/analysis/rerun"
    answer = operator.post(path)
    shown = json.loads(answer.content)
    assert answer.status_code == 202
    assert (shown["status"], shown["config"]) == ("pending", draft.config.name)
    again = operator.post(path)
    assert again.status_code == 409
    assert json.loads(again.content)["error"]["code"] == "already_running"
    unknown = operator.post(path, {"version": 7})
    assert json.loads(unknown.content)["error"]["code"] == "unknown_version"


def test_the_same_idempotency_key_is_done_once(operator: Caller) -> None:
    agent = make_agent()
    path = f"/conversations/{make_conversation(agent).public_id}/analysis/rerun"
    first = operator.post(path, {}, **{"Idempotency-Key": "k-1"})
    second = operator.post(path, {}, **{"Idempotency-Key": "k-1"})
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.content == second.content
    assert Analysis.objects.count() == 1


def test_a_viewer_may_not_write(viewer: Caller) -> None:
    conversation = make_conversation(make_agent())
    for path in (
        "/conversations",
        "/conversations/bulk",
        f"/conversations/{conversation.public_id}/analysis/rerun",
    ):
        assert viewer.post(path).status_code == 403, path


def test_unknown_ids_are_404(operator: Caller) -> None:
    for path in ("", "/analysis", "/analyses"):
        answer = operator.get(f"/conversations/conv_none{path}")
        assert answer.status_code == 404
        assert json.loads(answer.content)["error"]["code"] == "not_found"


def test_a_transcript_of_five_million_characters_is_taken_in(operator: Caller) -> None:
    """Escaped, it is six times as long on the wire as in the table."""
    sent = body_of(make_agent().public_id, external_id="long")
    sent["messages"] = [{"role": "user", "content": "ü" * 1_000_000} for _ in range(5)]
    answer = operator.post("/conversations", sent)
    assert answer.status_code == 201, answer.content[:300]
    assert json.loads(answer.content)["message_count"] == 5


def test_a_body_beyond_all_measure_is_refused(operator: Caller, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    answer = operator.post("/conversations", body_of(make_agent().public_id))
    assert answer.status_code == 413
    assert json.loads(answer.content)["error"]["code"] == "too_large"

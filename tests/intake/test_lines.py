"""Lines in the forms in which programs write them, through all three ways in: what is stored of
each, or why it is rejected. Nothing that is accepted is lost.
"""

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from apps.accounts.models import Role
from apps.conversations.inputs import LineRefused
from apps.conversations.models import Attributes, Conversation
from apps.intake.parser import read_conversation
from tests.api.conftest import Caller
from tests.factories import make_agent

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "lines.json").read_text(encoding="utf-8")
)


def with_agents(case: dict[str, Any]) -> dict[str, Any]:
    agent = make_agent(channel=case["line"]["channel"]).public_id
    line: dict[str, Any] = json.loads(json.dumps(case["line"]).replace("AGENT", agent))
    return {"agent_id": agent, **line}


def over_the_api(line: dict[str, Any], folder: Path) -> str:
    """The reason why it is rejected, or nothing."""
    answer = Caller(Role.OPERATOR).post("/conversations", line)
    if answer.status_code == 422:
        return str(json.loads(answer.content)["error"]["message"])
    assert answer.status_code == 201, answer.content
    return ""


def in_bulk(line: dict[str, Any], folder: Path) -> str:
    answer = Caller(Role.OPERATOR).ndjson("/conversations/bulk", json.dumps(line))
    assert answer.status_code == 200, answer.content
    report = json.loads(answer.content)
    return str(report["errors"][0]["message"]) if report["refused"] else ""


def as_a_file(line: dict[str, Any], folder: Path) -> str:
    path = folder / "lines.jsonl"
    path.write_text(json.dumps(line))
    out = StringIO()
    try:
        call_command("import_conversations", str(path), stdout=out, stderr=StringIO())
    except CommandError:
        return out.getvalue()
    return ""


def stored(conversation: Conversation, want: dict[str, Any]) -> dict[str, Any]:
    messages = conversation.transcript.messages
    contact = conversation.contact
    started = conversation.started_at
    found = {
        "messages": [[m["role"], m["content"]] for m in messages],
        "keys": {
            n: {k: messages[int(n)].get(k) for k in v} for n, v in want.get("keys", {}).items()
        },
        "transfers": [t.after_message for t in conversation.transfers.all()],
        "metadata": Attributes.objects.get(conversation=conversation).metadata,
        "contact": contact.phone_number if contact else None,
        "analysis": conversation.analysis_data,
        "started_at": started and started.isoformat().replace("+00:00", "Z"),
    }
    return {name: found.get(name, getattr(conversation, name, None)) for name in want}


@pytest.mark.django_db
@pytest.mark.parametrize("send", [over_the_api, in_bulk, as_a_file])
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_what_a_line_becomes(case: dict[str, Any], send: Any, tmp_path: Path) -> None:
    reason = send(with_agents(case), tmp_path)
    if "refused" in case:
        assert case["refused"] in reason
        assert not Conversation.objects.exists()
    else:
        assert not reason
        assert stored(Conversation.objects.get(), case["want"]) == case["want"]


@pytest.mark.django_db
def test_a_result_that_comes_with_a_second_close_is_not_lost() -> None:
    agent, operator = make_agent(post_analysis_enabled=False), Caller(Role.OPERATOR)
    body = {"agent_id": agent.public_id, "channel": "voice", "status": "ongoing", "messages": []}
    path = f"/conversations/{json.loads(operator.post('/conversations', body).content)['id']}/close"
    for values in ({}, {"call_successful": "yes"}, {"call_successful": "no"}):
        assert operator.post(path, {"analysis": values}).status_code == 200
    call = Conversation.objects.get()
    assert (call.analysis_data, call.successful) == ({"call_successful": True}, True)
    assert call.attributes.metadata == {"platform_analysis": {"call_successful": False}}


_KEYS = st.sampled_from(
    [
        *("role", "content", "text", "message", "body", "at", "name", "tool_calls", "arguments"),
        *("function_call", "function", "input", "result", "output", "error", "words", "parts"),
        *("refusal", "note", "caption", "tool_call_id", "status", "media", "image_url", "file"),
    ]
)
_TYPES = st.sampled_from(
    ["text", "image_url", "file", "tool_use", "tool_result", "refusal", "function_call", "other"]
)
_TEXT = st.integers(0, 99).map("said-{:02}".format)


def _holders(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    holder = st.dictionaries(_KEYS, inner, max_size=3)
    part = st.tuples(_TYPES, holder).map(lambda both: {**both[1], "type": both[0]})
    return st.lists(inner, max_size=3) | holder | part


_VALUE = st.recursive(_TEXT | st.none() | st.booleans() | st.integers(0, 9), _holders, max_leaves=6)
_ROLE = st.sampled_from(["user", "assistant", "tool", "tool_call", "event"])
_MESSAGE = st.dictionaries(_KEYS, _VALUE, max_size=5).flatmap(
    lambda item: _ROLE.map(lambda role: {**item, "role": role})
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    messages=st.lists(_MESSAGE, max_size=3),
    contact=st.dictionaries(st.sampled_from(["first_name", "note", "phone_number"]), _VALUE),
    transfer=st.dictionaries(st.sampled_from(["to_agent_id", "reason"]), _VALUE, max_size=2),
    extra=st.dictionaries(st.sampled_from(["id", "source", "labels", "stale"]), _VALUE),
)
def test_no_accepted_line_loses_a_text(
    messages: list[Any], contact: Any, transfer: Any, extra: Any
) -> None:
    body = {"channel": "chat", "messages": messages, "contact": contact, **extra}
    if transfer:
        body["transfers"] = [transfer]
    try:
        line = read_conversation(body, source="api")
    except LineRefused:
        return
    note(json.dumps(body))
    said = set(re.findall("said-[0-9]{2}", json.dumps(body)))
    assert said <= set(re.findall("said-[0-9]{2}", repr(line)))

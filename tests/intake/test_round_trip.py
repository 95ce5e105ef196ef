"""What is exported as JSON Lines and imported again changes nothing, whatever it holds."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.accounts.actors import Actor
from apps.analysis.models import Analysis
from apps.contacts.models import Contact
from apps.conversations.models import Attributes, Conversation
from apps.intake import lifecycle, live
from apps.intake.services import ingest
from tests.factories import make_agent, make_conversations

BY = Actor.system("tests")
pytestmark = pytest.mark.django_db

_UGLY = st.text(
    st.sampled_from("aä\"\\/\n\r\t\u2028\u202e\x00\x01\ud800\ufeff😀{}[],:0'= "), max_size=12
)
_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _UGLY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_UGLY, inner, max_size=3),
    max_leaves=6,
)
_OBJECT = st.dictionaries(_UGLY, _VALUE, max_size=4)
_TIME = st.timedeltas(timedelta(), timedelta(days=9_000)).map(
    lambda since: (datetime(2001, 1, 1, tzinfo=UTC) + since).isoformat()
)
_MESSAGE = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "agent", "tool_call", "tool", "event", "dtmf"]),
        "content": _UGLY | _OBJECT,
    },
    optional={
        "at": _TIME | st.floats(0, 4000),
        "name": st.sampled_from(["Ada", " x "]),
        "tool_calls": st.just([{"id": "1", "function": {"name": "f", "arguments": "{}"}}]),
    },
)
_LINE = st.fixed_dictionaries(
    {
        "channel": st.just("voice"),
        "messages": st.lists(_MESSAGE, max_size=4),
        "status": st.sampled_from(["registered", "ongoing", "ended", "error", "not_connected"]),
    },
    optional={
        "source": st.sampled_from(["api", "retell", " x "]),
        "language": st.sampled_from(["de", "pt-BR"]),
        "started_at": _TIME,
        "duration_ms": st.integers(0, 10**9) | st.floats(0, 10**6),
        "direction": st.sampled_from(["inbound", "outbound"]),
        "from_number": st.sampled_from(["anonymous", "+1 415 555 0123", "sip:a@b.c", 4155550123.0]),
        "disconnection_reason": st.sampled_from(["inactivity", "user_hangup"]),
        "recording_url": st.just("HTTPS://example.com/A"),
        "metadata": _OBJECT,
        "dynamic_variables": _OBJECT,
        "stale": st.booleans() | _UGLY,
        "analysis": _OBJECT | st.just({"call_successful": "Yes", "call_summary": {"a": 1}}),
        "contact": st.fixed_dictionaries(
            {},
            optional={
                "phone_number": st.sampled_from(["+52 1 55 1234 5678", "030 1234", "Ada", "0"]),
                "email": st.sampled_from(["Ada@Example.com", "b@example.com"]),
                "first_name": _UGLY,
                "company": _VALUE,
            },
        ),
        "transfers": st.just([{"to_agent_id": "OTHER"}]),
    },
)


def exported() -> list[str]:
    out = StringIO()
    call_command("export_conversations", format="jsonl", stdout=out)
    return out.getvalue().removesuffix("\n").split("\n") if out.getvalue() else []


def rows() -> list[Any]:
    found: list[Any] = [list(Conversation.objects.order_by("pk").values_list())]
    found += [list(Attributes.objects.order_by("pk").values_list())]
    return [*found, list(Contact.objects.order_by("pk").values_list())]


def comes_back_unchanged() -> None:
    lines, before = exported(), rows()
    report = ingest(lines=lines, by=BY, analyze=False)
    assert [error.message for error in report.errors] == []
    assert (report.unchanged, report.total) == (len(lines), len(lines))
    assert rows() == before


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(_LINE, min_size=1, max_size=8))
def test_ugly_lines_come_back_unchanged(lines: list[dict[str, Any]]) -> None:
    with transaction.atomic():
        agent, other = make_agent().public_id, make_agent().public_id
        bodies = [json.loads(json.dumps(line).replace("OTHER", other)) for line in lines]
        ingest(lines=[{"agent_id": agent, **body} for body in bodies], by=BY)
        comes_back_unchanged()
        transaction.set_rollback(True)


def test_what_was_appended_closed_and_ended_by_silence_comes_back_unchanged() -> None:
    agent = make_agent(channel="chat")
    line = {"agent_id": agent.public_id, "channel": "chat", "status": "ongoing", "source": "web"}
    said = [{"role": "user", "content": "Hello"}]
    ingest(lines=[{**line, "external_id": n, "messages": said} for n in "abc"], by=BY)
    one, two, _ = Conversation.objects.order_by("pk")
    live.append(conversation=one, messages=[{"role": "agent", "text": "Yes?"}])
    live.close(conversation=two, by=BY, closing=live.Closing(duration_ms=1_234))
    lifecycle.end_idle_chats(now=timezone.now() + timedelta(days=2))
    comes_back_unchanged()


def test_results_of_ours_come_back_unchanged() -> None:
    made = make_conversations(make_agent(), 2, started_at=timezone.now(), analysis_state="failed")
    values = {"call_summary": "x", "call_successful": "partly"}
    Analysis.objects.create(
        conversation=made[0],
        agent_version=made[0].agent_version,
        config=made[0].agent_version.config,
        trigger="initial",
        state="succeeded",
        is_current=True,
        output=values,
    )
    Conversation.objects.filter(pk=made[0].pk).update(
        analysis_state="succeeded", analysis_data=values, stale=True
    )
    comes_back_unchanged()

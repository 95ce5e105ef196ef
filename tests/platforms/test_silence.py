"""Calls that a platform opened and never ended: visible, and ended after a day (decision 0008)."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import Role
from apps.analysis.missing_reason import missing_result_reason
from apps.conversations.models import Conversation
from apps.intake import lifecycle
from apps.intake.services import ingest_one
from apps.platforms.sources import rules_of
from tests.api.conftest import Caller
from tests.factories import client_as, make_agent
from tests.platforms.mappings.signing import BY, send, source_of

pytestmark = pytest.mark.django_db

START = {"event": "call_started", "call": {"call_id": "s1", "agent_id": "a"}}
END = {
    "event": "call_ended",
    "call": {
        "call_id": "s1",
        "agent_id": "a",
        "call_status": "ended",
        "start_timestamp": 1_760_000_000_000,
        "end_timestamp": 1_760_000_060_000,
        "disconnection_reason": "user_hangup",
        "transcript": "Agent: Hi\nUser: Bye",
    },
}


def the_one() -> Conversation:
    return Conversation.objects.get()


def after(hours: float) -> int:
    return lifecycle.end_idle_chats(now=timezone.now() + timedelta(hours=hours), rules_of=rules_of)


def test_a_silent_call_is_ended_after_a_day() -> None:
    send(source_of("retell"), START)
    assert after(23) == 0
    assert the_one().status == "ongoing"
    assert after(25) == 1
    call = the_one()
    assert (call.status, call.disconnection_reason) == ("ended", "inactivity")
    assert call.ended_at == call.last_message_at
    assert (call.analysis_state, call.silent_since) == ("skipped", None)


def test_the_hours_are_a_setting(settings: Any) -> None:
    settings.CALL_SILENCE_HOURS = 2
    send(source_of("retell"), START)
    assert after(3) == 1
    assert the_one().status == "ended"


def test_whatever_comes_breaks_the_silence() -> None:
    source = source_of("retell")
    send(source, START)
    yesterday = timezone.now() - timedelta(hours=20)
    Conversation.objects.update(last_message_at=yesterday, idle_at=yesterday + timedelta(hours=24))
    send(source, {"event": "transfer_started", "call": {"call_id": "s1", "agent_id": "a"}})
    assert after(20) == 0
    assert the_one().status == "ongoing"


def test_an_end_that_comes_after_all_is_the_end() -> None:
    source = source_of("retell")
    send(source, START)
    after(25)
    send(source, END)
    call = the_one()
    assert (call.status, call.disconnection_reason) == ("ended", "user_hangup")
    assert (call.duration_ms, call.message_count) == (60_000, 2)
    assert call.analysis_reason == "unconfigured"


def test_a_call_that_never_began_did_not_connect_and_may_begin_yet() -> None:
    source = source_of("vapi")
    call = {"id": "s2", "type": "outboundPhoneCall"}
    send(source, {"message": {"type": "status-update", "status": "scheduled", "call": call}})
    assert the_one().status == "registered"
    after(25)
    assert (the_one().status, the_one().disconnection_reason) == ("not_connected", "inactivity")
    send(source, {"message": {"type": "status-update", "status": "in-progress", "call": call}})
    assert (the_one().status, the_one().disconnection_reason) == ("ongoing", "")


def test_a_thread_of_the_api_is_closed_explicitly_only() -> None:
    line = {"agent_id": make_agent().public_id, "channel": "voice", "status": "ongoing"}
    ingest_one(line=line, by=BY)
    assert after(1_000) == 0
    assert the_one().silent_since is not None


def test_since_when_is_said_on_the_pages_and_by_the_api() -> None:
    send(source_of("retell"), START)
    since = timezone.now() - timedelta(hours=7)
    Conversation.objects.update(last_message_at=since)
    call = the_one()
    assert "Silent since" in missing_result_reason(call).sentence
    assert "It will end at" in missing_result_reason(call).sentence
    shown = json.loads(Caller(Role.VIEWER).get(f"/conversations/{call.public_id}").content)
    assert shown["silent_since"] == since.isoformat().replace("+00:00", "Z")
    client = client_as(Role.VIEWER)
    for path in (f"/conversations/{call.public_id}/", "/calls/?columns=status"):
        assert "silent since" in client.get(path).content.decode()

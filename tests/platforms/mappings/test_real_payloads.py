"""Genuine payloads of the platforms, each through its signed receiver.

They are not part of the project: `<project>/../shared/data`, or where DEBRIEF_DATA points.
"""

import json
import re
from typing import Any

import pytest

from apps.analysis.models import Analysis
from apps.conversations.models import Attributes, Conversation
from apps.platforms.models import IntakePayload

from .signing import FOLDER, send, signed, source_of

FILES = sorted(p.name for p in FOLDER.glob("*.json") if "openapi" not in p.name)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not FILES, reason=f"no payloads in {FOLDER}; set DEBRIEF_DATA"),
]


def payload(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name).read_bytes())
    return found


def taken(name: str, rule: str = "theirs") -> Conversation:
    source = source_of(name.partition("_")[0], platform_analysis=rule)
    answer = send(source, (FOLDER / name).read_bytes())
    assert answer.status_code == 200, answer.content
    return Conversation.objects.get(public_id=answer.json()["conversation_id"])


def facts(conversation: Conversation) -> dict[str, Any]:
    found: dict[str, Any] = Attributes.objects.get(conversation=conversation).metadata
    return found


def result() -> dict[str, Any]:
    output: dict[str, Any] | None = Analysis.objects.current().get().output
    assert output is not None
    return output


@pytest.mark.parametrize("name", FILES)
def test_each_is_taken_once_and_changed_refused(name: str) -> None:
    kind = name.partition("_")[0]
    source = source_of(kind)
    body = (FOLDER / name).read_bytes()
    headers = signed(kind, body)
    assert send(source, body, headers).status_code == 200
    at = len(body) // 2
    changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
    assert send(source, changed, headers).status_code == 401
    assert send(source, body, headers).status_code == 200
    assert Conversation.objects.count() == 1
    assert IntakePayload.objects.refused().count() == 1


def test_the_failed_booking() -> None:
    call = taken("retell_get_call_phone_de_failed_booking.json")
    given = payload("retell_get_call_phone_de_failed_booking.json")
    roles = {
        "tool_call_invocation": "tool_call",
        "tool_call_result": "tool_result",
        "node_transition": "event",
    }
    items = given["transcript_with_tool_calls"]
    assert [m["role"] for m in call.transcript.messages] == [
        roles.get(i["role"], i["role"]) for i in items
    ]
    assert (call.duration_ms, call.from_number) == (35_303, "anonymous")
    assert call.contact is None
    assert call.started_at is not None
    assert round(call.started_at.timestamp() * 1000) == given["start_timestamp"]
    tool = json.loads(call.transcript.messages[11]["content"])
    assert tool["arguments"]["dienstleistung"] == "Herrenhaarschnitt"
    assert facts(call)["platform_cost"] == 0.0456
    assert facts(call)["platform_agent_version"] == "42"
    output = result()
    assert output["call_summary"] == given["call_analysis"]["call_summary"]
    assert "custom_analysis_data" not in output


def test_never_connected() -> None:
    call = taken("retell_call_analyzed_not_connected.json")
    assert (call.status, call.disconnection_reason) == ("not_connected", "invalid_destination")
    assert (call.started_at, call.message_count) == (None, 0)
    assert not Analysis.objects.exists()
    ended = payload("retell_call_analyzed_not_connected.json") | {"event": "call_ended"}
    del ended["call"]["call_analysis"]
    source = IntakePayload.objects.get().source
    assert source is not None
    assert send(source, ended).status_code == 200
    assert Conversation.objects.count() == 1


def test_a_web_call_of_vapi_from_its_start() -> None:
    source = source_of("vapi", platform_analysis="theirs")
    send(source, payload("vapi_status_update_webcall.json"))
    assert Conversation.objects.get().status == "ongoing"
    send(source, payload("vapi_end_of_call_report_webcall.json"))
    call = Conversation.objects.get()
    assert (call.status, call.duration_ms, call.language) == ("ended", 25_276, "en")
    assert call.agent.name == "Finzie"
    assert [m["role"] for m in call.transcript.messages] == [
        "system",
        "agent",
        "user",
        "agent",
        "user",
        "agent",
    ]
    assert facts(call)["platform_cost"] == 0.0394
    assert call.recording_url.endswith("-mono.wav")
    assert result()["call_successful"] is True


def test_a_voicemail_was_no_conversation() -> None:
    call = taken("vapi_get_call_outbound_voicemail.json")
    assert (call.direction, call.disconnection_reason) == ("outbound", "voicemail")
    assert not Analysis.objects.exists()
    assert facts(call)["platform_analysis"]["call_successful"] is False


def test_a_short_call_of_elevenlabs() -> None:
    call = taken("elevenlabs_post_call_transcription_phone_short.json")
    assert (call.language, call.duration_ms, call.message_count) == ("en", 17_000, 5)
    assert call.direction == "inbound"
    assert facts(call)["platform_cost_credits"] == 120
    output = result()
    assert (output["first_name"], output["call_successful"]) == ("Stefan", True)


def test_the_samples_of_documentation_and_library() -> None:
    sample = (FOLDER / "vapi_docs_end_of_call_report.jsonc").read_text()
    told = json.loads(re.sub(r"/\*.*?\*/", "", sample))
    told["message"]["call"]["id"] = "v-docs"
    assert send(source_of("vapi"), told).status_code == 200
    assert [m["role"] for m in Conversation.objects.get().transcript.messages] == ["agent", "user"]
    source = (FOLDER / "elevenlabs_sdk_wire_test_get_conversation.ts.txt").read_text()
    found = re.search(r"rawResponseBody = (\{.*?\n {8}\});", source, re.DOTALL)
    assert found is not None
    body = json.loads(re.sub(r",(\s*[}\]])", r"\1", re.sub(r"(\w+):", r'"\1":', found[1], count=0)))
    assert send(source_of("elevenlabs"), body).status_code == 200
    assert Conversation.objects.get(external_id="123").message_count == 1

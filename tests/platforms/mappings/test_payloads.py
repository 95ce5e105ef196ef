"""Payloads of platforms in all their forms, through the signed webhook, with what they must become.

Each case of payloads.json is one payload (after another one, where it says ``before``), and either
what is then stored or why it is rejected.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from apps.analysis.models import Analysis
from apps.conversations.models import Attributes, Conversation
from apps.platforms.models import IntakePayload, IntakeSource
from apps.platforms.replay import replay

from .signing import BY, send, source_of

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "payloads.json").read_text(encoding="utf-8")
)
pytestmark = [pytest.mark.django_db]


def stored(conversation: Conversation, names: list[str]) -> dict[str, Any]:
    """What is stored under these names, in the words of payloads.json."""
    contact = conversation.contact
    found: dict[str, Any] = {
        "messages": [[m["role"], m["content"]] for m in conversation.transcript.messages],
        "metadata": Attributes.objects.get(conversation=conversation).metadata,
        "contact": contact.phone_number if contact else None,
        "analysis": conversation.analysis_data,
    }
    for name in ("started_at", "ended_at"):
        at = getattr(conversation, name)
        found[name] = at and at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {name: found.get(name, getattr(conversation, name, None)) for name in names}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_what_a_payload_becomes(case: dict[str, Any]) -> None:
    source = source_of(case["kind"], platform_analysis="theirs")
    if "before" in case:
        assert send(source, case["before"]).status_code == 200
    answer = send(source, case["body"])
    if "refused" in case:
        assert answer.status_code == 422, answer.content
        error = answer.json()["error"]
        assert error["code"] == "unreadable_transcript"
        assert case["refused"] in error["message"]
        assert not Conversation.objects.exists()
        payload = IntakePayload.objects.get()
        assert payload.body == case["body"]
        assert payload.reason == error["message"]
        assert replay(payload=payload, by=BY).state == "refused"
        return
    assert answer.status_code == 200, answer.content
    conversation = Conversation.objects.get(public_id=answer.json()["conversation_id"])
    want = dict(case["want"])
    found = stored(conversation, list(want))
    for name, value in want.pop("metadata", {}).items():
        assert found["metadata"].get(name) == value
    found.pop("metadata", None)
    assert found == want


class TestWhatThePlatformNeverSends:
    """By the rule *use theirs* nothing is waited for after the platform's last word."""

    VOICEMAIL = {
        "message": {
            "type": "end-of-call-report",
            "endedReason": "voicemail",
            "call": {"id": "v9", "type": "outboundPhoneCall"},
            "analysis": {"summary": "Left a message."},
            "artifact": {
                "messages": [
                    {"role": "user", "message": "Please leave a message."},
                    {"role": "bot", "message": "This is Finch."},
                ]
            },
        }
    }

    def test_a_voicemail_waits_for_no_result(self) -> None:
        send(source_of("vapi", platform_analysis="theirs"), self.VOICEMAIL)
        call = Conversation.objects.get()
        assert (call.analysis_state, call.analysis_reason) == ("skipped", "no_platform_analysis")
        assert call.attributes.metadata["platform_analysis"] == {"call_summary": "Left a message."}

    def test_after_the_last_event_without_a_result_none_is_awaited(self) -> None:
        source = source_of("retell", platform_analysis="theirs")
        call = {
            "call_id": "r1",
            "agent_id": "a",
            "call_status": "ended",
            "transcript": "Agent: Hi\nUser: Bye",
        }
        send(source, {"event": "call_ended", "call": call})
        row = Conversation.objects.get()
        assert (row.analysis_state, row.analysis_reason) == ("none", "waiting_for_platform")
        send(source, {"event": "call_analyzed", "call": call})
        row.refresh_from_db()
        assert (row.analysis_state, row.analysis_reason) == ("skipped", "no_platform_analysis")

    def test_a_late_result_is_still_the_result(self) -> None:
        source = source_of("vapi", platform_analysis="theirs")
        late = json.loads(json.dumps(self.VOICEMAIL))
        late["message"]["endedReason"] = "customer-ended-call"
        without = {"message": {**late["message"], "analysis": {}}}
        send(source, without)
        assert Conversation.objects.get().analysis_reason == "no_platform_analysis"
        send(source, late)
        assert Conversation.objects.get().analysis_state == "succeeded"

    def test_by_the_rule_wait_ours_is_made_at_once(self) -> None:
        send(source_of("vapi", platform_analysis="wait", wait_minutes=30), self.VOICEMAIL)
        call = Conversation.objects.get()
        assert call.analyze_at is None
        assert call.analysis_reason == "unconfigured"  # it was asked for, by an agent just made
        assert not Analysis.objects.exists()


class TestWhyTheSenderIsRejected:
    def test_the_response_says_what_the_page_says(self) -> None:
        answer = send(source_of("vapi"), {}, {"X-Vapi-Secret": "wrong"})
        reason = "The secret doesn’t match this source."
        assert answer.status_code == 401
        assert answer.json()["error"]["message"] == IntakePayload.objects.get().reason == reason

    def test_but_for_the_state_of_this_installation(self) -> None:
        source = source_of("vapi")
        IntakeSource.objects.update(secret_encrypted=b"by a key of before")
        answer = send(source, {}, {"X-Vapi-Secret": "x"})
        assert answer.json()["error"]["code"] == "secret_unreadable"
        assert "SECRET_KEY" not in answer.json()["error"]["message"]
        assert "SECRET_KEY" in IntakePayload.objects.get().reason

"""Retell: calls and chats (docs/platforms.md has the map and what it was checked against)."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from apps.conversations.inputs import LineRefused

from .shapes import (
    Arrived,
    BadSignature,
    Json,
    caller,
    filled,
    mapping,
    message,
    milliseconds,
    needed_id,
    number,
    objects,
    said,
    seconds,
    spoke,
    spoken_lines,
    text,
    tool_call,
    url,
)

SIGNATURE = "x-retell-signature"
HEADERS = (SIGNATURE,)
WINDOW_MS = 5 * 60 * 1000
_SIGNATURE = re.compile(r"v=([0-9]{1,15}),d=([0-9a-f]{64})")
_STATUSES = {"registered", "not_connected", "ongoing", "ended", "error"}
_OPEN_EVENTS = {"call_started", "chat_started", "transfer_started"}
_AGAIN_LATER = {"transcript_updated"}
_TRANSCRIPTS = (
    "transcript_with_tool_calls",
    "post_session_transcript_with_tool_calls",
    "scrubbed_transcript_with_tool_calls",
    "transcript_object",
)
_CHATS = (
    "message_with_tool_calls",
    "post_session_message_with_tool_calls",
    "scrubbed_message_with_tool_calls",
)


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """``X-Retell-Signature: v={ms},d={hex}``, an HMAC-SHA256 of body and ms by the API key.

    Raises BadSignature, also for a time more than five minutes away, before or after.
    """
    found = _SIGNATURE.fullmatch(headers.get(SIGNATURE, "").strip())
    if found is None:
        raise BadSignature("The header X-Retell-Signature is missing or not v=…,d=….")
    moment, digest = found.groups()
    expected = hmac.new(secret.encode(), body + moment.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, digest):
        raise BadSignature(
            "The signature does not fit: another API key signed it, or it was changed on its way."
        )
    if abs(now.timestamp() * 1000 - int(moment)) > WINDOW_MS:
        raise BadSignature("It was signed more than five minutes away from now.")


def read(body: Mapping[str, Any]) -> Arrived:
    """A webhook's body, or the bare call or chat of its API. Raises LineRefused."""
    event = text(body.get("event"), 100)
    for kind, reader in (("call", _call), ("chat", _chat)):
        bare = not event and f"{kind}_id" in body
        thing = body if bare else body.get(kind)
        if not isinstance(thing, dict):
            continue
        external_id = needed_id(thing.get(f"{kind}_id"), f"{kind}_id")
        if event in _AGAIN_LATER:
            return Arrived(event, external_id, note="What was said comes with the end of the call.")
        return reader(event or kind, external_id, thing)
    if not event:
        raise LineRefused("missing_field", "event is missing: this is no webhook of Retell.")
    return Arrived(event, "", note="This event is about no call and no chat.")


def _call(event: str, external_id: str, call: Json) -> Arrived:
    status = _status(call.get("call_status"), event)
    messages = _messages(call, _TRANSCRIPTS)
    direction = text(call.get("direction"))
    theirs = call.get("to_number" if direction == "outbound" else "from_number")
    agent = text(call.get("agent_id"))
    analysis = _analysis(mapping(call.get("call_analysis")))
    took_place = status != "not_connected" and (spoke(messages) or not _has_ended(status))
    conversation = {
        "external_id": external_id,
        "agent_id": agent,
        "channel": "voice",
        "status": status,
        "started_at": call.get("start_timestamp"),
        "ended_at": call.get("end_timestamp"),
        "duration_ms": call.get("duration_ms"),
        "direction": direction if direction in {"inbound", "outbound"} else "",
        "from_number": text(call.get("from_number"), 60),
        "to_number": text(call.get("to_number"), 60),
        "disconnection_reason": text(call.get("disconnection_reason"), 100),
        "recording_url": url(call.get("recording_url")),
        "contact": {"phone_number": caller(theirs)} if direction else None,
        "messages": messages,
        "metadata": {
            **mapping(call.get("metadata")),
            **_facts(call, "call"),
            **filled({"platform_analysis": None if took_place else analysis}),
        },
        "dynamic_variables": mapping(call.get("retell_llm_dynamic_variables")),
    }
    return Arrived(
        event,
        external_id,
        conversation,
        analysis if took_place else None,
        "" if took_place or not analysis else "Its analysis is of a call that never took place.",
        {agent: text(call.get("agent_name"))},
    )


def _chat(event: str, external_id: str, chat: Json) -> Arrived:
    status = _status(chat.get("chat_status"), event)
    agent = text(chat.get("agent_id"))
    messages = _messages(chat, _CHATS)
    took_place = spoke(messages) or not _has_ended(status)
    analysis = _analysis(mapping(chat.get("chat_analysis")))
    conversation = {
        "external_id": external_id,
        "agent_id": agent,
        "channel": "chat",
        "status": status,
        "started_at": chat.get("start_timestamp"),
        "ended_at": chat.get("end_timestamp"),
        "messages": messages,
        "metadata": {
            **mapping(chat.get("custom_attributes")),
            **mapping(chat.get("metadata")),
            **_facts(chat, "chat"),
            **filled({"platform_analysis": None if took_place else analysis}),
        },
        "dynamic_variables": mapping(chat.get("retell_llm_dynamic_variables")),
    }
    return Arrived(
        event,
        external_id,
        conversation,
        analysis if took_place else None,
        agent_names={agent: text(chat.get("agent_name"))},
    )


def _status(value: object, event: str) -> str:
    if (told := text(value)) in _STATUSES:
        return told
    return "ongoing" if event in _OPEN_EVENTS else "ended"


def _has_ended(status: str) -> bool:
    return status in {"ended", "error", "not_connected"}


def _facts(thing: Json, kind: str) -> Json:
    """What Debrief has no column for, under names that say whose it is."""
    cost = mapping(thing.get(f"{kind}_cost"))
    cents = number(cost.get("combined_cost"))
    version = thing.get("agent_version", thing.get("version"))
    return filled(
        {
            "platform_agent_version": text(version),
            "platform_agent_name": text(thing.get("agent_name")),
            "platform_type": text(thing.get(f"{kind}_type")),
            "platform_cost": None if cents is None else round(cents / 100, 6),
            "platform_costs": cost.get("product_costs"),
            "platform_collected_variables": thing.get("collected_dynamic_variables"),
            "platform_sip_headers": thing.get("custom_sip_headers"),
            "platform_transfer_destination": text(thing.get("transfer_destination")),
            "platform_recording_multi_channel": url(thing.get("recording_multi_channel_url")),
            "platform_log_url": url(thing.get("public_log_url")),
        }
    )


def _analysis(analysis: Mapping[str, Any]) -> Json | None:
    """Retell's names are the built-in ones; fields of the account's own stand beside them."""
    own = mapping(analysis.get("custom_analysis_data"))
    rest = {key: value for key, value in analysis.items() if key != "custom_analysis_data"}
    return filled({**own, **filled(rest)}) or None


def _messages(thing: Json, names: tuple[str, ...]) -> list[Json]:
    for name in names:
        if found := [_message(item) for item in objects(thing.get(name))]:
            return found
    return spoken_lines(thing.get("transcript"))


_ROLES = {"agent": "agent", "user": "user", "transfer_target": "transfer", "injected": "system"}


def _message(item: Mapping[str, Any]) -> Json:
    role, at = text(item.get("role")), _at(item)
    content = said(item.get("content"))
    if role in _ROLES:
        return message(_ROLES[role], content, at)
    if role == "tool_call_invocation":
        return tool_call(item.get("name"), item.get("arguments"), at)
    if role == "tool_call_result":
        return message("tool_result", content, at)
    if role == "dtmf":
        return message("dtmf", text(item.get("digit")), at)
    if role in {"node_transition", "state_transition"}:
        what = role.removesuffix("_transition")
        before, after = (text(item.get(f"{when}_{what}_name")) for when in ("former", "new"))
        return message("event", f"{before} → {after}".strip(), at)
    if role == "sms":
        return message("event", f"SMS: {content}", at)
    return message("event", f"{role}: {content}" if content else role, at)


def _at(item: Mapping[str, Any]) -> float | None:
    """Seconds since the start by the first word or the tool; in chats the time of day."""
    for word in objects(item.get("words")):
        return seconds(word.get("start"))
    at = seconds(item.get("time_sec"))
    return milliseconds(item.get("created_timestamp")) if at is None else at

"""Retell: calls and chats (docs/platforms.md has the map and its sources)."""

from collections.abc import Mapping
from typing import Any

from apps.conversations.inputs import LineRefused
from apps.platforms.adapter import Arrived
from apps.platforms.mapping import (
    Json,
    answered,
    caller,
    filled,
    imported,
    mapping,
    message,
    milliseconds,
    needed_id,
    number,
    objects,
    of_unknown_role,
    results_in,
    role_of,
    said,
    seconds,
    speaker,
    spoke,
    text,
    tool_call,
    transcript,
    url,
)

_STATUSES = {"registered", "not_connected", "ongoing", "ended", "error"}
_ENDED = {"not_connected", "ended", "error"}
_END_EVENTS = {"call_ended", "call_analyzed", "chat_ended", "chat_analyzed"}
_ONGOING_EVENTS = {"call_started", "chat_started"}
_FINAL_EVENTS = {"call_analyzed", "chat_analyzed"}
_TRANSFER = "transfer_"
_UNANSWERED = {
    *("dial_busy", "dial_failed", "dial_no_answer", "invalid_destination", "user_declined"),
    *("registered_call_timeout", "error_user_not_joined", "concurrency_limit_reached"),
    *("no_valid_payment", "marked_as_spam", "scam_detected", "sip_routing_error"),
    *("telephony_provider_permission_denied", "telephony_provider_unavailable"),
}
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


def read(body: Mapping[str, Any]) -> Arrived:
    """Return a webhook's body, or the bare call or chat of its API. Raises LineRefused."""
    event = text(body.get("event"), 100)
    for kind, reader in (("call", _call), ("chat", _chat)):
        thing = _thing(body, kind)
        if thing is None:
            continue
        external_id = needed_id(thing.get(f"{kind}_id"), f"{kind}_id")
        if event in _AGAIN_LATER:
            return Arrived(
                event, external_id, note="Ignored: the transcript arrives when the call ends."
            )
        beside = {name: body.get(name) for name in ("transfer_destination", "transfer_option")}
        return reader(event or kind, external_id, {**filled(beside), **thing})
    if not event:
        raise LineRefused(
            "missing_field", "event is missing. This doesn’t look like a Retell webhook."
        )
    return Arrived(event, "", note="This event isn’t about a call or chat.")


def _thing(body: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """Return the call or chat that a body holds or is; webhooks of 2024 called it ``data``."""
    if isinstance(named := body.get(kind), dict):
        return named
    return next((one for one in (mapping(body.get("data")), body) if f"{kind}_id" in one), None)


def _call(event: str, external_id: str, call: Json) -> Arrived:
    messages = _messages(call, _TRANSCRIPTS)
    status = _status(call, "call", event, spoken=spoke(messages))
    direction = text(call.get("direction"))
    theirs = call.get("to_number" if direction == "outbound" else "from_number")
    agent = text(call.get("agent_id"))
    analysis = _analysis(mapping(call.get("call_analysis")))
    took_place = status != "not_connected" and (spoke(messages) or status not in _ENDED)
    result, kept, note = imported(analysis, took_place=took_place)
    conversation = {
        "external_id": external_id,
        "agent_id": agent,
        "channel": "voice",
        "status": status,
        "started_at": call.get("start_timestamp") or None,
        "ended_at": (call.get("end_timestamp") or None) if status in _ENDED else None,
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
            **_transfer(call, event),
            **kept,
        },
        "dynamic_variables": mapping(call.get("retell_llm_dynamic_variables")),
    }
    return Arrived(
        event,
        external_id,
        conversation,
        result,
        note,
        {agent: text(call.get("agent_name"))},
        final=event in _FINAL_EVENTS,
    )


def _chat(event: str, external_id: str, chat: Json) -> Arrived:
    agent = text(chat.get("agent_id"))
    messages = _messages(chat, _CHATS)
    status = _status(chat, "chat", event, spoken=spoke(messages))
    took_place = spoke(messages) or status not in _ENDED
    analysis = _analysis(mapping(chat.get("chat_analysis")))
    result, kept, _ = imported(analysis, took_place=took_place)
    conversation = {
        "external_id": external_id,
        "agent_id": agent,
        "channel": "chat",
        "status": status,
        "started_at": chat.get("start_timestamp") or None,
        "ended_at": (chat.get("end_timestamp") or None) if status in _ENDED else None,
        "messages": messages,
        "metadata": {
            **mapping(chat.get("custom_attributes")),
            **mapping(chat.get("metadata")),
            **_facts(chat, "chat"),
            **kept,
        },
        "dynamic_variables": mapping(chat.get("retell_llm_dynamic_variables")),
    }
    return Arrived(
        event,
        external_id,
        conversation,
        result,
        agent_names={agent: text(chat.get("agent_name"))},
        final=event in _FINAL_EVENTS,
    )


def _status(thing: Json, kind: str, event: str, *, spoken: bool) -> str:
    """Return the status by what the event says, then by the thing itself.

    Retell sends ``registered`` with a call that has ended, and no status with a transfer.
    """
    told = text(thing.get(f"{kind}_status"))
    told = told if told in _STATUSES else ""
    reason = text(thing.get("disconnection_reason"))
    if told in _ENDED:
        return told
    transfers = event.startswith(_TRANSFER)
    over = bool(reason or thing.get("end_timestamp")) and not transfers
    if event in _END_EVENTS or (over and event not in _ONGOING_EVENTS):
        return "not_connected" if reason in _UNANSWERED and not spoken else "ended"
    if event in _ONGOING_EVENTS or transfers:
        return "ongoing"
    return told or "ongoing"


def _transfer(call: Json, event: str) -> Json:
    """Return where a call was transferred to, and how far the transfer has come."""
    state = event.removeprefix(_TRANSFER) if event.startswith(_TRANSFER) else ""
    return filled(
        {
            "platform_transfer": state,
            "platform_transfer_destination": call.get("transfer_destination"),
            "platform_transfer_option": call.get("transfer_option"),
            "platform_transfer_end": number(call.get("transfer_end_timestamp")),
        }
    )


def _facts(thing: Json, kind: str) -> Json:
    """Return what Debrief has no column for, under names that say whose it is."""
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
            "platform_recording_multi_channel": url(thing.get("recording_multi_channel_url")),
            "platform_log_url": url(thing.get("public_log_url")),
        }
    )


def _analysis(analysis: Mapping[str, Any]) -> Json | None:
    """Retell's names are the built-in ones; fields of the account's own are next to them."""
    own = results_in(analysis.get("custom_analysis_data"))
    rest = {key: value for key, value in analysis.items() if key != "custom_analysis_data"}
    return filled({**own, **filled(rest)}) or None


def _messages(thing: Json, names: tuple[str, ...]) -> list[Json]:
    sources = {name: thing.get(name) for name in (*names, "transcript")}
    return transcript(sources, lambda item, _: [_message(item)])


_ROLES = {"agent": "agent", "user": "user", "transfer_target": "transfer", "injected": "system"}
_TEXT_MESSAGES = {"sms": "SMS", "mms": "MMS"}


def _message(item: Mapping[str, Any]) -> Json:
    role, at = role_of(item), _at(item)
    if role == "tool_call_invocation":
        return tool_call(item.get("name"), item.get("arguments"), at)
    if role == "tool_call_result":
        result = answered(item, "content", "result", "error", succeeded=item.get("successful"))
        return message("tool_result", result, at)
    if role == "dtmf":
        return message("dtmf", text(item.get("digit")), at)
    content = said(item)
    if known := _ROLES.get(role) or speaker(role):
        return message(known, content, at)
    if role in {"node_transition", "state_transition"}:
        what = role.removesuffix("_transition")
        before, after = (text(item.get(f"{when}_{what}_name")) for when in ("former", "new"))
        return message("event", f"{before} → {after}".strip(), at)
    if role in _TEXT_MESSAGES:
        return message("event", f"{_TEXT_MESSAGES[role]}: {content}", at)
    return of_unknown_role(role, content, at)


def _at(item: Mapping[str, Any]) -> float | None:
    """Seconds since the start by the first word or the tool; in chats the time of day."""
    for word in objects(item.get("words")):
        return seconds(word.get("start"))
    at = seconds(item.get("time_sec"))
    return milliseconds(item.get("created_timestamp")) if at is None else at

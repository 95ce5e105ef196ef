"""ElevenLabs agents (docs/platforms.md has the map and what it was checked against)."""

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from apps.conversations.inputs import LineRefused

from .shapes import (
    Arrived,
    BadSignature,
    Json,
    caller,
    chain,
    filled,
    language,
    mapping,
    message,
    needed_id,
    number,
    objects,
    said,
    seconds,
    spoke,
    text,
    tool_call,
)

SIGNATURE = "elevenlabs-signature"
HEADERS = (SIGNATURE,)
WINDOW_SECONDS = 30 * 60
_TIME = re.compile(r"[0-9]{1,12}")
_STATUSES = {
    "initiated": "registered",
    "in-progress": "ongoing",
    "processing": "ended",
    "done": "ended",
    "failed": "error",
}
_UNANSWERED = {"busy", "no_answer", "no-answer", "failed"}
_SUCCESS = {"success": True, "failure": False}


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """``ElevenLabs-Signature: t={s},v0={hex}``, an HMAC-SHA256 of ``t.body`` by the secret.

    Raises BadSignature, also for a time more than half an hour away: the platform's own library
    allows that much before now, and any time after; here a clock may be ahead by as much.
    """
    parts = [part.strip() for part in headers.get(SIGNATURE, "").split(",")]
    moment = next((part[2:] for part in parts if part.startswith("t=")), "")
    given = [part[3:] for part in parts if part.startswith("v0=")]
    if not _TIME.fullmatch(moment) or not given:
        raise BadSignature("The header ElevenLabs-Signature is missing or not t=…,v0=….")
    signed = moment.encode() + b"." + body
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode()
    if not any(hmac.compare_digest(expected, _bytes(one)) for one in given[:5]):
        raise BadSignature(
            "The signature does not fit: another secret signed it, or it was changed on its way."
        )
    if abs(now.timestamp() - int(moment)) > WINDOW_SECONDS:
        raise BadSignature("It was signed more than half an hour away from now.")


def _bytes(value: str) -> bytes:
    return value.encode(errors="surrogatepass")


def read(body: Mapping[str, Any]) -> Arrived:
    """A webhook's body, or the bare conversation of its API. Raises LineRefused."""
    event = text(body.get("type"), 100)
    bare = not event and "conversation_id" in body
    if not event and not bare:
        raise LineRefused("missing_field", "type is missing: this is no webhook of ElevenLabs.")
    data = mapping(body if bare else body.get("data"))
    if event in {"", "post_call_transcription"}:
        external_id = needed_id(data.get("conversation_id"), "conversation_id")
        return _conversation(event or "conversation", external_id, data)
    if event == "call_initiation_failure":
        return _failure(event, needed_id(data.get("conversation_id"), "conversation_id"), data)
    note = "There is no conversation in this event."
    if event == "post_call_audio":
        note = "Recordings are not kept here: only the transcript is."
    return Arrived(event, text(data.get("conversation_id"), 300), note=note)


def _conversation(event: str, external_id: str, data: Mapping[str, Any]) -> Arrived:
    facts = mapping(data.get("metadata"))
    client = mapping(data.get("conversation_initiation_client_data"))
    channel = "chat" if facts.get("text_only") is True else "voice"
    agent = text(data.get("agent_id"))
    messages, speakers = _messages(data.get("transcript"))
    status = _status(data.get("status"), mapping(facts.get("phone_call")), messages)
    analysis = _analysis(mapping(data.get("analysis")), channel)
    took_place = status != "not_connected" and spoke(messages)
    length = number(facts.get("call_duration_secs"))
    conversation = {
        "external_id": external_id,
        "agent_id": agent,
        "channel": channel,
        "status": status,
        "language": language(facts.get("main_language")),
        "started_at": facts.get("start_time_unix_secs") or None,
        "duration_ms": None if length is None else length * 1000,
        **_numbers(facts),
        "disconnection_reason": text(facts.get("termination_reason"), 100),
        "messages": messages,
        "transfers": chain(agent, speakers),
        "metadata": {
            **_facts(data, facts),
            **filled({"platform_analysis": None if took_place else analysis}),
        },
        "dynamic_variables": mapping(client.get("dynamic_variables")),
    }
    return Arrived(
        event,
        external_id,
        conversation,
        analysis if took_place else None,
        "" if took_place or not analysis else "Its analysis is of a call that never took place.",
        {agent: text(data.get("agent_name"))},
    )


def _failure(event: str, external_id: str, data: Mapping[str, Any]) -> Arrived:
    """A call that was to be made and never came about."""
    detail = mapping(mapping(data.get("metadata")).get("body"))
    conversation = {
        "external_id": external_id,
        "agent_id": text(data.get("agent_id")),
        "channel": "voice",
        "status": "not_connected",
        "direction": "outbound",
        "from_number": _first(detail, "From", "from_number"),
        "to_number": (called := _first(detail, "To", "to_number")),
        "contact": {"phone_number": caller(called)},
        "disconnection_reason": text(data.get("failure_reason"), 100),
        "metadata": filled({"platform_failure": dict(mapping(data.get("metadata")))}),
    }
    return Arrived(event, external_id, conversation)


def _first(values: Mapping[str, Any], *names: str) -> str:
    return next((found for name in names if (found := text(values.get(name), 60))), "")


def _status(value: object, phone: Mapping[str, Any], messages: list[Json]) -> str:
    if not spoke(messages) and text(phone.get("call_result")) in _UNANSWERED:
        return "not_connected"
    return _STATUSES.get(text(value), "ended")


def _numbers(facts: Mapping[str, Any]) -> Json:
    """Direction, numbers and contact of a telephone call, a text message or WhatsApp."""
    phone, sms = mapping(facts.get("phone_call")), mapping(facts.get("sms"))
    whatsapp = mapping(facts.get("whatsapp"))
    way = phone or sms or whatsapp
    agents = _first(way, "agent_number", "agent_phone_number")
    theirs = _first(way, "external_number", "sms_user_phone_number", "whatsapp_user_id")
    outbound = text(way.get("direction")) == "outbound"
    if not agents and not theirs:
        return {}
    return {
        "direction": "outbound" if outbound else "inbound",
        "from_number": agents if outbound else theirs,
        "to_number": theirs if outbound else agents,
        "contact": {"phone_number": caller(theirs)},
    }


def _facts(data: Mapping[str, Any], facts: Mapping[str, Any]) -> Json:
    """What Debrief has no column for, under names that say whose it is."""
    return filled(
        {
            "platform_agent_version": text(data.get("version_id")),
            "platform_agent_name": text(data.get("agent_name")),
            "platform_branch": text(data.get("branch_id")),
            "platform_user_id": text(data.get("user_id")),
            "platform_cost": number(facts.get("cost_fiat")),
            "platform_cost_credits": number(facts.get("cost")),
            "platform_costs": facts.get("charging"),
            "platform_type": text(facts.get("conversation_initiation_source")),
            "platform_feedback": _feedback(mapping(facts.get("feedback"))),
            "platform_error": facts.get("error"),
            "platform_warnings": facts.get("warnings"),
            "platform_rationales": _rationales(mapping(data.get("analysis"))),
        }
    )


def _feedback(feedback: Mapping[str, Any]) -> Json | None:
    return filled(feedback) if any(feedback.values()) else None


_Collected = Iterator[tuple[str, Mapping[str, Any]]]


def _collected(analysis: Mapping[str, Any]) -> _Collected:
    for item in objects(analysis.get("data_collection_results_list")):
        yield text(item.get("name")) or text(item.get("data_collection_id")), item
    for name, item in mapping(analysis.get("data_collection_results")).items():
        yield text(name), mapping(item)


def _criteria(analysis: Mapping[str, Any]) -> _Collected:
    for item in objects(analysis.get("evaluation_criteria_results_list")):
        yield text(item.get("criteria_id")), item
    for name, item in mapping(analysis.get("evaluation_criteria_results")).items():
        yield text(name), mapping(item)


def _analysis(analysis: Mapping[str, Any], channel: str) -> Json | None:
    """Their names as ours; criteria and collected data are fields of the account's own."""
    kind = "chat" if channel == "chat" else "call"
    own = {name: item.get("result") for name, item in _criteria(analysis)}
    own |= {name: item.get("value") for name, item in _collected(analysis)}
    built_in = {
        f"{kind}_summary": text(analysis.get("transcript_summary")),
        f"{kind}_successful": _SUCCESS.get(text(analysis.get("call_successful"))),
        "call_summary_title": text(analysis.get("call_summary_title")),
    }
    own.pop("", None)
    return filled({**own, **filled(built_in)}) or None


def _rationales(analysis: Mapping[str, Any]) -> Json:
    both = [*_criteria(analysis), *_collected(analysis)]
    return filled({name: text(item.get("rationale")) for name, item in both if name})


def _messages(transcript: object) -> tuple[list[Json], list[tuple[int, str]]]:
    """The transcript, and which agent speaks after how many messages."""
    found: list[Json] = []
    speakers: list[tuple[int, str]] = []
    for turn in objects(transcript):
        at = seconds(turn.get("time_in_call_secs"))
        if agent := text(mapping(turn.get("agent_metadata")).get("agent_id")):
            speakers.append((len(found), agent))
        found += _turn(turn, at)
    return found, speakers


def _turn(turn: Mapping[str, Any], at: float | None) -> Iterator[Json]:
    """What is in one turn: words, then the tools that it called, then what they answered."""
    role = text(turn.get("role"))
    if words := _words(turn):
        yield message(role if role in {"agent", "user"} else "event", words, at)
    if event := text(turn.get("platform_event")):
        yield message("event", event, at)
    for call in objects(turn.get("tool_calls")):
        yield tool_call(call.get("tool_name"), call.get("params_as_json"), at)
    for result in objects(turn.get("tool_results")):
        yield message("tool_result", said(result.get("result_value")), at)


def _words(turn: Mapping[str, Any]) -> str:
    if words := said(turn.get("message")):
        return words
    parts = objects(mapping(turn.get("multivoice_message")).get("parts"))
    return " ".join(filter(None, (text(part.get("text")) for part in parts)))

"""Vapi: calls (docs/platforms.md has the map and its sources). Chats are in `sessions`."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from apps.conversations.inputs import LineRefused
from apps.core.yes_no import worded_truth
from apps.platforms.adapter import Arrived
from apps.platforms.mapping import (
    Json,
    caller,
    chain,
    filled,
    imported,
    language,
    mapping,
    milliseconds,
    needed_id,
    number,
    objects,
    results_in,
    seconds,
    spoke,
    text,
    transcript,
    url,
)

from . import sessions
from .items import read_item, structured

_STATUSES = {
    "scheduled": "registered",
    "queued": "registered",
    "ringing": "registered",
    "in-progress": "ongoing",
    "forwarding": "ongoing",
    # The report that follows says how it ended, and what was said.
    "ended": "ongoing",
}
_OVER = {"ended", "error", "not_connected"}
_WANT_ANSWERS = {
    "assistant-request",
    "tool-calls",
    "function-call",
    "transfer-destination-request",
    "handoff-destination-request",
    "knowledge-base-request",
    "voice-request",
    "call.endpointing.request",
}
_UNANSWERED = re.compile(
    r"customer-(busy|did-not-answer|did-not-give-microphone-permission)|scheduled-call-deleted"
    r"|assistant-(request-.*|not-.*)|call[.-]start[.-].*|call\.ringing\..*"
    r"|.*(failed-to-connect|never-connected|no-call-received).*|.*[.-]error-.*transport-missing"
)


def read(body: Mapping[str, Any]) -> Arrived:
    """Return a server message, or the bare call of the API. Raises LineRefused."""
    told = body.get("message")
    if not isinstance(told, dict):
        if "id" not in body or not {"assistantId", "type", "status"} & body.keys():
            raise LineRefused(
                "missing_field", "message is missing. This doesn’t look like a Vapi webhook."
            )
        return _report("call", {**body, "call": body})
    event = text(told.get("type"), 100)
    if not event:
        raise LineRefused(
            "missing_field", "message.type is missing. This doesn’t look like a Vapi webhook."
        )
    if event == "end-of-call-report":
        return _report(event, told)
    if event.startswith(("chat.", "session.")):
        return sessions.read(event, told)
    call_id = text(mapping(told.get("call")).get("id"), 300)
    if event == "status-update" and text(told.get("status")) in _STATUSES:
        return _update(event, told)
    if event in _WANT_ANSWERS:
        note = (
            "Debrief can’t respond to this request. In Vapi, send tool and assistant requests to a "
            "different server URL."
        )
    else:
        note = "Ignored: the end-of-call report contains this information."
    return Arrived(event, call_id, note=note)


def _update(event: str, told: Json) -> Arrived:
    call = mapping(told.get("call"))
    external_id = needed_id(call.get("id"), "call.id")
    agent, names = _agent(told, call)
    status = text(told.get("status"))
    messages, _ = _messages(told, call, has_start=bool(_one(told, call, "startedAt")))
    conversation = {
        "external_id": external_id,
        "agent_id": agent,
        "channel": "voice",
        "status": _STATUSES[status],
        "started_at": _one(told, call, "startedAt"),
        **_numbers(told, call),
        "messages": messages,
        "metadata": _metadata(told, call),
        "dynamic_variables": _variables(told, call),
    }
    note = "It has ended; the report at the end says how." if status == "ended" else ""
    return Arrived(event, external_id, conversation, None, note, names)


def _report(event: str, told: Json) -> Arrived:
    call = mapping(told.get("call"))
    external_id = needed_id(call.get("id"), "call.id")
    agent, names = _agent(told, call)
    started, ended = _times(told, call)
    messages, speakers = _messages(told, call, has_start=started is not None)
    reason = text(_one(told, call, "endedReason"), 100)
    status = _end_of(event, call, reason, messages)
    analysis = _analysis(told, call)
    # What Vapi finds in a call that nobody took, or that a machine took, is made up.
    took_place = status != "not_connected" and reason != "voicemail" and spoke(messages)
    result, kept, note = imported(analysis, took_place=took_place)
    assistant = mapping(_one(told, call, "assistant"))
    conversation = {
        "external_id": external_id,
        "agent_id": agent,
        "channel": "voice",
        "status": status,
        "language": language(mapping(assistant.get("transcriber")).get("language")),
        "started_at": started,
        "ended_at": ended if status in _OVER else None,
        "duration_ms": _duration(told, call),
        **_numbers(told, call),
        "disconnection_reason": reason,
        "recording_url": _recording(told, call),
        "messages": messages,
        "transfers": chain(agent, speakers),
        "metadata": {
            **_metadata(told, call),
            **kept,
        },
        "dynamic_variables": _variables(told, call),
    }
    over = status in _OVER  # a report comes after the call's analysis, which it brings or never
    return Arrived(event, external_id, conversation, result, note, names, final=over)


def _times(told: Json, call: Mapping[str, Any]) -> tuple[Any, Any]:
    """Start and end; of reports that do not say them (2024's), by the times of their messages."""
    started, ended = (_one(told, call, name) or None for name in ("startedAt", "endedAt"))
    if started is not None and ended is not None:
        return started, ended
    begun: list[float] = []
    until: list[float] = []
    for item in _timed(told, call):
        if (at := milliseconds(item.get("time"))) is not None:
            begun.append(at - 1000 * (seconds(item.get("secondsFromStart")) or 0))
            until.append(milliseconds(item.get("endTime")) or at)
    first, last = min(begun, default=None), max(until, default=None)
    return (first if started is None else started), (last if ended is None else ended)


def _timed(told: Json, call: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for items in (mapping(_one(told, call, "artifact")), told, call):
        yield from objects(items.get("messages"))


def _one(told: Json, call: Mapping[str, Any], name: str) -> Any:
    """Return a value that is in the message, in the call, or in both."""
    found = told.get(name)
    return call.get(name) if found in (None, "", {}, []) else found


def _end_of(event: str, call: Mapping[str, Any], reason: str, messages: list[Json]) -> str:
    """How it ended. ``call.status`` in a report is that of its beginning, and says nothing."""
    if event == "call" and text(call.get("status")) not in {"", "ended"}:
        return _STATUSES.get(text(call.get("status")), "ended")
    if _UNANSWERED.fullmatch(reason) and not spoke(messages):
        return "not_connected"
    return "error" if "error" in reason or "fault" in reason else "ended"


def _agent(told: Json, call: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The first assistant of the call, with the names that are sent; a squad counts as one."""
    assistant = mapping(_one(told, call, "assistant"))
    artifact = mapping(_one(told, call, "artifact"))
    active = list(objects(artifact.get("assistantActivations")))
    first = mapping(active[0]) if active else {}
    candidates = (
        first.get("assistantId"),
        call.get("assistantId"),
        assistant.get("id"),
        call.get("squadId"),
        call.get("workflowId"),
    )
    agent = next((found for one in candidates if (found := text(one))), "")
    names = {text(one.get("assistantId")): text(one.get("assistantName")) for one in active}
    if text(assistant.get("id")) in {agent, ""}:
        names.setdefault(agent, text(assistant.get("name")))
    return agent, names


def _numbers(told: Json, call: Mapping[str, Any]) -> Json:
    """Direction, numbers and contact; a call from a web page has none."""
    direction = {"inboundPhoneCall": "inbound", "outboundPhoneCall": "outbound"}.get(
        text(call.get("type")), ""
    )
    customer = mapping(_one(told, call, "customer"))
    theirs = text(customer.get("number"), 60)
    ours = text(mapping(_one(told, call, "phoneNumber")).get("number"), 60)
    first, _, last = text(customer.get("name"), 200).partition(" ")
    email = text(customer.get("email"), 320)
    return {
        "direction": direction,
        "from_number": ours if direction == "outbound" else theirs,
        "to_number": theirs if direction == "outbound" else ours,
        "contact": {
            "phone_number": caller(theirs),
            "email": email if "@" in email else "",
            "first_name": first,
            "last_name": last.strip(),
        },
    }


def _duration(told: Json, call: Mapping[str, Any]) -> float | None:
    length = number(_one(told, call, "durationMs"))
    if length is None and (found := number(_one(told, call, "durationSeconds"))) is not None:
        length = found * 1000
    return length


def _recording(told: Json, call: Mapping[str, Any]) -> str | None:
    artifact = mapping(_one(told, call, "artifact"))
    recording = mapping(artifact.get("recording"))
    mono = mapping(recording.get("mono"))
    found = (
        _one(told, call, "recordingUrl"),
        artifact.get("recordingUrl"),
        mono.get("combinedUrl"),
        recording.get("stereoUrl"),
    )
    return next((address for one in found if (address := url(one))), None)


def _metadata(told: Json, call: Mapping[str, Any]) -> Json:
    """The caller's own, and what Debrief has no column for, under names that say whose it is."""
    assistant = mapping(_one(told, call, "assistant"))
    artifact = mapping(_one(told, call, "artifact"))
    facts = {
        "platform_agent_version": text(told.get("assistantVersion")),
        "platform_agent_name": text(assistant.get("name")),
        "platform_type": text(call.get("type")),
        "platform_cost": number(_one(told, call, "cost")),
        "platform_costs": _one(told, call, "costBreakdown") or _one(told, call, "costs"),
        "platform_recording_stereo": url(_one(told, call, "stereoRecordingUrl")),
        "platform_transfer_destination": _one(told, call, "destination"),
        "platform_squad": text(call.get("squadId")),
        "platform_skipped": _skipped(artifact.get("skippedStructuredOutputs")),
        "platform_transfers": artifact.get("transfers"),
        "platform_scorecards": artifact.get("scorecards"),
    }
    own = {**mapping(assistant.get("metadata")), **mapping(call.get("metadata"))}
    return {**own, **filled(facts)}


def _skipped(outputs: object) -> Json:
    """Return why Vapi did not look for its structured outputs, by their names."""
    found: Json = {}
    for key, item in mapping(outputs).items():
        reason = mapping(item).get("skippedReason", item)
        found[text(mapping(item).get("name")) or key] = reason
    return found


def _variables(told: Json, call: Mapping[str, Any]) -> Json:
    overrides = mapping(call.get("assistantOverrides"))
    artifact = mapping(_one(told, call, "artifact"))
    found: Json = {}
    for values in (overrides, artifact):
        found |= mapping(values.get("variableValues"))
    return found | dict(mapping(artifact.get("variables")))


def _analysis(told: Json, call: Mapping[str, Any]) -> Json | None:
    """Return them as a result; an evaluation by another rubric than pass or fail is a field."""
    analysis = mapping(_one(told, call, "analysis"))
    artifact = mapping(_one(told, call, "artifact"))
    verdict = analysis.get("successEvaluation")
    truth = worded_truth(verdict)
    own: Json = dict(structured(analysis.get("structuredDataMulti")))
    own |= dict(structured(artifact.get("structuredOutputs")))
    own |= results_in(analysis.get("structuredData"))
    built_in = {
        "call_summary": text(analysis.get("summary")) or text(_one(told, call, "summary")),
        "call_successful": truth,
        "success_evaluation": None if truth is not None else text(verdict),
    }
    return filled({**own, **filled(built_in)}) or None


def _messages(
    told: Json, call: Mapping[str, Any], *, has_start: bool
) -> tuple[list[Json], list[tuple[int, str]]]:
    """Return the transcript, and which assistant speaks after how many messages."""
    artifact = mapping(_one(told, call, "artifact"))
    sources = {
        "artifact.messages": artifact.get("messages"),
        "messages": told.get("messages"),
        "call.messages": call.get("messages"),
        "artifact.messagesOpenAIFormatted": artifact.get("messagesOpenAIFormatted"),
        "artifact.transcript": artifact.get("transcript"),
        "transcript": told.get("transcript"),
    }
    speakers: list[tuple[int, str]] = []

    def read_one(item: Mapping[str, Any], so_far: int) -> Iterator[Json]:
        if so_far == 0:
            speakers.clear()
        if agent := text(item.get("assistantId")):
            speakers.append((so_far, agent))
        yield from read_item(item, has_start=has_start)

    return transcript(sources, read_one), speakers

"""ElevenLabs agents (docs/platforms.md has the map and its sources)."""

from collections.abc import Iterator, Mapping
from typing import Any

from apps.conversations.inputs import LineRefused
from apps.core.yes_no import worded_truth
from apps.platforms.adapter import Arrived
from apps.platforms.mapping import (
    Json,
    answered,
    caller,
    chain,
    filled,
    imported,
    language,
    mapping,
    message,
    needed_id,
    number,
    objects,
    of_unknown_role,
    role_of,
    said,
    seconds,
    speaker,
    spoke,
    text,
    tool_call,
    transcript,
    unreadable,
)

_STATUSES = {
    "initiated": "registered",
    "in-progress": "ongoing",
    "processing": "ended",
    "done": "ended",
    "failed": "error",
}
_UNANSWERED = {"busy", "no_answer", "no-answer", "failed"}
_OPEN = {"registered", "ongoing"}
_NOTHING = {"None", "null", "Null", "NULL", "undefined"}
"""How a collected value that was not found is spelled, where the field takes text."""


def read(body: Mapping[str, Any]) -> Arrived:
    """Return a webhook's body, or the bare conversation of its API. Raises LineRefused."""
    event = text(body.get("type"), 100)
    bare = not event and "conversation_id" in body
    if not event and not bare:
        raise LineRefused(
            "missing_field", "type is missing. This doesn’t look like an ElevenLabs webhook."
        )
    data = mapping(body if bare else body.get("data"))
    if event in {"", "post_call_transcription"}:
        external_id = needed_id(data.get("conversation_id"), "conversation_id")
        return _conversation(event or "conversation", external_id, data)
    if event == "call_initiation_failure":
        return _failure(event, needed_id(data.get("conversation_id"), "conversation_id"), data)
    note = "Ignored: this event contains no conversation."
    if event == "post_call_audio":
        note = "Ignored: audio isn’t stored, only the transcript."
    return Arrived(event, text(data.get("conversation_id"), 300), note=note)


def _conversation(event: str, external_id: str, data: Mapping[str, Any]) -> Arrived:
    facts = mapping(data.get("metadata"))
    client = mapping(data.get("conversation_initiation_client_data"))
    channel = "chat" if facts.get("text_only") is True else "voice"
    agent = text(data.get("agent_id"))
    messages, speakers = _messages(data)
    status = _status(data.get("status"), mapping(facts.get("phone_call")), messages)
    analysis = _analysis(mapping(data.get("analysis")), channel)
    took_place = status != "not_connected" and spoke(messages)
    result, kept, note = imported(analysis, took_place=took_place)
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
            **kept,
        },
        "dynamic_variables": mapping(client.get("dynamic_variables")),
    }
    return Arrived(
        event,
        external_id,
        conversation,
        result,
        note,
        {agent: text(data.get("agent_name"))},
        final=status not in _OPEN,
    )


def _failure(event: str, external_id: str, data: Mapping[str, Any]) -> Arrived:
    """Return a call that was to be made and never came about."""
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
    theirs = _first(way, "external_number", "sms_user_phone_number")
    if not theirs and (user := _first(way, "whatsapp_user_id")):
        theirs = f"whatsapp:{user}"
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
    """Return what Debrief has no column for, under names that say whose it is."""
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
            "platform_scoped_analysis": _scoped(mapping(data.get("analysis"))),
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
    """Return them as a result; criteria and collected data become fields of the account."""
    kind = "chat" if channel == "chat" else "call"
    own = {name: item.get("result") for name, item in _criteria(analysis)}
    own |= {name: _value(item) for name, item in _collected(analysis)}
    built_in = {
        f"{kind}_summary": text(analysis.get("transcript_summary")),
        f"{kind}_successful": worded_truth(analysis.get("call_successful")),
        "call_summary_title": text(analysis.get("call_summary_title")),
    }
    own.pop("", None)
    return filled({**own, **filled(built_in)}) or None


def _value(item: Mapping[str, Any]) -> Any:
    """Return collected data; the text “None” is nothing, unless the field has that choice."""
    value = item.get("value")
    choices = mapping(item.get("json_schema")).get("enum")
    is_choice = isinstance(choices, list) and value in choices
    return None if isinstance(value, str) and value.strip() in _NOTHING and not is_choice else value


def _scoped(analysis: Mapping[str, Any]) -> Json:
    """Return the findings about each agent that took part, by the agent's id."""
    found: Json = {}
    for item in objects(analysis.get("scoped_analysis_results")):
        scope = text(item.get("scope"))
        agent = text(item.get("source_agent_id")) or scope
        values = _analysis(item, "voice") or {}
        rationales = _rationales(item)
        values |= {"rationales": rationales} if rationales else {}
        if any(found.get(agent, {}).get(name, value) != value for name, value in values.items()):
            agent = f"{agent} ({scope})"
        found.setdefault(agent, {}).update(values)
    return filled(found)


def _rationales(analysis: Mapping[str, Any]) -> Json:
    both = [*_criteria(analysis), *_collected(analysis)]
    return filled({name: text(item.get("rationale")) for name, item in both if name})


def _messages(data: Mapping[str, Any]) -> tuple[list[Json], list[tuple[int, str]]]:
    """Return the transcript, and which agent speaks after how many messages."""
    given = data.get("transcript")
    if given is None and text(data.get("status")) in {"", "done", "processing"}:
        traces = "resourceSpans" in data or "resource_spans" in data
        why = "it is missing, and OpenTelemetry traces are not read here" if traces else ""
        raise unreadable("transcript", given, why or "it is missing")
    speakers: list[tuple[int, str]] = []

    def read_turn(turn: Mapping[str, Any], so_far: int) -> Iterator[Json]:
        if so_far == 0:
            speakers.clear()
        if agent := text(mapping(turn.get("agent_metadata")).get("agent_id")):
            speakers.append((so_far, agent))
        yield from _turn(turn, seconds(turn.get("time_in_call_secs")))

    return transcript({"transcript": given}, read_turn), speakers


def _turn(turn: Mapping[str, Any], at: float | None) -> Iterator[Json]:
    """Yield the parts of one turn: words, then the tools that it called, then their results."""
    role = role_of(turn)
    if words := _words(turn):
        known = speaker(role)
        yield message(known, words, at) if known else of_unknown_role(role, words, at)
    if event := text(turn.get("platform_event")):
        yield message("event", event, at)
    for call in objects(turn.get("tool_calls")):
        arguments = call.get("params_as_json")
        details = mapping(call.get("tool_details"))
        arguments = details.get("parameters") if arguments is None else arguments
        yield tool_call(call.get("tool_name"), arguments, at)
    for result in objects(turn.get("tool_results")):
        yield message("tool_result", _answer(result), at)


_ANSWERS = ("result_value", "raw_error_message", "error_message", "result")


def _answer(result: Mapping[str, Any]) -> str:
    """Return a tool's result, or why there is none."""
    bad = result.get("is_error") is True or result.get("is_blocked") is True
    return answered(result, *_ANSWERS, succeeded=not bad)


def _words(turn: Mapping[str, Any]) -> str:
    """Return the spoken text; an attached file is named."""
    file = mapping(turn.get("file_input"))
    name = text(file.get("original_filename")) or text(file.get("file_url"))
    parts = objects(mapping(turn.get("multivoice_message")).get("parts"))
    voices = " ".join(filter(None, (text(part.get("text")) for part in parts)))
    return "\n".join(filter(None, [said(turn) or voices, f"[file: {name}]" if name else ""]))

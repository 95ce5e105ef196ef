"""Reading one conversation as outside programs write it.

Strict about the essentials (channel, roles, times, numbers), forgiving about form: nulls,
other platforms' role names, `id` for `external_id`, and keys that no one knows, which go to the
metadata unread. Each rejection is one message with the value that was rejected.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

from apps.agents.models import Channel
from apps.contacts.phone_numbers import is_withheld, normal_number, tidy_number
from apps.conversations import inputs
from apps.conversations.inputs import (
    MAX_LENGTHS,
    ContactInput,
    ConversationInput,
    LineRefused,
    Message,
    TransferInput,
)
from apps.conversations.models import (
    OPEN,
    PLAIN_TEXT,
    AnalysisState,
    Direction,
    Reason,
    Status,
    TransferSetting,
)
from apps.core.json_text import parse_json
from apps.core.yes_no import yes_or_no
from apps.llm.errors import ErrorCode
from apps.llm.schema import size_problems
from apps.llm.text import sanitise

from .message_forms import ROLE_OF, read_item

_KNOWN = {
    "id",
    "external_id",
    "source",
    "agent_id",
    "agent_version",
    "channel",
    "status",
    "started_at",
    "ended_at",
    "duration_ms",
    "direction",
    "from_number",
    "to_number",
    *PLAIN_TEXT,
    "metadata",
    "dynamic_variables",
    "recording_url",
    "contact",
    "messages",
    "transfers",
    "analysis",
}
_OURS: dict[str, Callable[[object], bool]] = {
    "message_count": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "analysis_state": lambda value: value in AnalysisState.values,
    "analysis_reason": lambda value: value in [None, *Reason.values, *ErrorCode.values],
    "stale": lambda value: isinstance(value, bool),
    "silent_since": lambda value: value is None or isinstance(value, str),
}
"""Derived keys of a conversation as Debrief writes it. Where all of them are present in that form,
Debrief wrote the line and they are left out; else they are unknown keys."""
MAX_MESSAGES = 100_000
_SUCCESS = {"call_successful", "chat_successful"}
_OPENED = {Status.REGISTERED.value, Status.ONGOING.value, Status.NOT_CONNECTED.value}


def read_line(text: str | bytes, *, source: str) -> ConversationInput:
    """Return one line of NDJSON. Raises LineRefused."""
    return read_conversation(read_json(text), source=source)


def read_json(text: str | bytes) -> Mapping[str, Any]:
    """Return a JSON object. Raises LineRefused with code ``not_json`` or ``not_an_object``."""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        value = parse_json(text.lstrip("\ufeff"))
    except UnicodeDecodeError as error:
        raise LineRefused("not_json", f"Invalid UTF-8 at byte {error.start + 1}.") from None
    except json.JSONDecodeError as error:  # its own "line 1" is not the line of the file
        where = f"{error.msg.removesuffix(' at')} at character {error.pos + 1}"
        raise LineRefused("not_json", f"This is not JSON: {where}.") from None
    except ValueError as error:
        raise LineRefused("not_json", f"This is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise LineRefused("not_an_object", "Each conversation must be a JSON object.")
    return value


def read_conversation(body: Mapping[str, Any], *, source: str) -> ConversationInput:
    """Return one conversation as a JSON object. ``source`` names it where it names none itself."""
    if is_ours := _is_ours(body):
        body = {name: value for name, value in body.items() if name not in _OURS}
    known = {name: body.get(name) for name in _KNOWN}
    channel = inputs.choice(known["channel"], "channel", Channel.values, required=True)
    status = inputs.choice(known["status"], "status", Status.values) or Status.ENDED.value
    started, ended, duration = _times(known, is_open=status in OPEN)
    if known["messages"] is None and "messages" not in body and status not in _OPENED:
        raise LineRefused(
            "missing_field", "messages is required. Send [] if there are none.", "messages"
        )
    transcript = _read_transcript(known["messages"], started)
    contact, strangers = _contact(known["contact"])
    if not is_ours and known["id"] is not None and known["external_id"] is not None:
        strangers["id"] = known["id"]  # neither is lost
    return ConversationInput(
        channel=channel,
        agent=inputs.text(known["agent_id"], "agent_id", MAX_LENGTHS["agent_id"]),
        agent_version=inputs.integer(known["agent_version"], "agent_version", 2**31 - 1),
        source=_source(known["source"]) or source,
        external_id=_external_id(known),
        status=status,
        started_at=started,
        ended_at=ended,
        duration_ms=duration,
        direction=inputs.choice(known["direction"], "direction", Direction.values),
        from_number=_number(known, "from_number"),
        to_number=_number(known, "to_number"),
        recording_url=_recording(known["recording_url"]),
        texts={name: inputs.text(known[name], name, MAX_LENGTHS[name]) for name in PLAIN_TEXT},
        contact=contact,
        metadata=_metadata(body, known, strangers),
        dynamic_variables=inputs.plain_object(known["dynamic_variables"], "dynamic_variables"),
        messages=transcript.messages,
        transfers=_transfers(known["transfers"], transcript),
        analysis=read_result(known["analysis"]),
    )


def _number(known: Mapping[str, Any], name: str) -> str:
    number = inputs.text(known[name], name, MAX_LENGTHS[name])
    return tidy_number(number) if number else ""


def _is_ours(body: Mapping[str, Any]) -> bool:
    """Return whether Debrief wrote this itself, in an export or as the response of its API."""
    return all(name in body and fits(body[name]) for name, fits in _OURS.items())


def read_result(value: object) -> dict[str, Any] | None:
    """Return a result that another platform made; None where there is nothing in it.

    Whether it succeeded is yes or no, in whatever words a platform says it (decision 0024).
    """
    values = inputs.plain_object(value, "analysis")
    for name in _SUCCESS & values.keys():
        truth = yes_or_no(values[name])
        values[name] = values[name] if truth is None else truth
    for problem in size_problems(values, "analysis"):  # the limits of a model's response
        raise LineRefused("invalid_value", problem, "analysis")
    return values or None


def _external_id(known: Mapping[str, Any]) -> str:
    for name in ("external_id", "id"):
        if value := inputs.text(known[name], name, MAX_LENGTHS["external_id"]):
            return value
    return ""


def _source(value: object) -> str:
    return "" if isinstance(value, dict) else inputs.text(value, "source", MAX_LENGTHS["source"])


def _metadata(
    body: Mapping[str, Any], known: Mapping[str, Any], strangers: Mapping[str, Any]
) -> dict[str, Any]:
    """Return its own, then what this reader does not know: nothing that was sent is lost."""
    extra = {name: value for name, value in body.items() if name not in _KNOWN}
    if isinstance(known["source"], dict):
        extra["source"] = known["source"]
    own = inputs.plain_object(known["metadata"], "metadata")
    unknown = inputs.plain_object({**strangers, **extra}, "metadata")
    for name in unknown.keys() & own.keys():
        if unknown[name] != own[name]:
            raise inputs.refuse(
                f"metadata.{name[:60]}",
                "already exists, and the same key next to metadata has another value.",
            )
    return {**unknown, **own}


def _times(known: Mapping[str, Any], *, is_open: bool) -> tuple[Any, Any, int | None]:
    started = inputs.moment(known["started_at"], "started_at")
    ended = inputs.moment(known["ended_at"], "ended_at")
    duration = inputs.integer(known["duration_ms"], "duration_ms", 10**12)
    if ended and is_open:
        raise inputs.refuse("ended_at", f"says that it ended, status that it is {known['status']}.")
    if started and ended and ended < started:
        raise inputs.refuse("ended_at", "is before started_at.")
    if started and duration is not None:
        try:
            ended = ended or started + timedelta(milliseconds=duration)
        except OverflowError:
            raise inputs.refuse("duration_ms", "is too long.") from None
    return started, None if is_open else ended, duration


def _recording(value: object) -> str:
    url = inputs.text(value, "recording_url", MAX_LENGTHS["recording_url"])
    if url and not url.lower().startswith(("http://", "https://")):
        raise LineRefused(
            "invalid_value",
            f"recording_url must start with http:// or https://, not {inputs.shown(url)}.",
            "recording_url",
        )
    scheme, separator, rest = url.partition("://")
    return f"{scheme.lower()}{separator}{rest}"


_OF_CONTACT = ("phone_number", "email", "first_name", "last_name")


def _contact(value: object) -> tuple[ContactInput | None, dict[str, Any]]:
    """Who it was with, and for the metadata what a contact has no place for: unknown keys, a
    number that is none, and names of someone whom no one could find again."""
    if value is None:
        return None, {}
    given = inputs.an_object(value, "contact")
    parts = {name: given.get(name) for name in _OF_CONTACT}
    email = inputs.text(parts["email"], "contact.email", MAX_LENGTHS["email"]).strip().lower()
    if email and "@" not in email:
        raise LineRefused(
            "invalid_value",
            f"contact.email isn't a valid email address: {inputs.shown(email)}.",
            "contact",
        )
    number = inputs.text(parts["phone_number"], "contact.phone_number", MAX_LENGTHS["phone_number"])
    contact = ContactInput(
        phone_number=normal_number(number),
        email=email,
        first_name=inputs.text(
            parts["first_name"], "contact.first_name", MAX_LENGTHS["first_name"]
        ),
        last_name=inputs.text(parts["last_name"], "contact.last_name", MAX_LENGTHS["last_name"]),
    )
    known = contact if contact.phone_number or contact.email else None
    lost = {name: item for name, item in given.items() if name not in _OF_CONTACT}
    if known is None:
        lost |= {"first_name": contact.first_name, "last_name": contact.last_name}
    if not contact.phone_number and not is_withheld(number):
        lost["phone_number"] = number
    lost = {name: item for name, item in lost.items() if item not in (None, "", [], {})}
    return known, {"contact": lost} if lost else {}


# Messages and transfers


@dataclass(frozen=True, slots=True)
class Transcript:
    """The messages; ``starts`` says how many of them come before each item that was sent, and
    ends with their number: one item with tool calls is several messages."""

    messages: list[Message]
    starts: list[int]

    def position(self, items: int) -> int:
        """Return how many messages came before, for this many items that did."""
        return self.starts[items] if items < len(self.starts) else items


def read_messages(value: object, started: datetime | None) -> list[Message]:
    """Return the messages, in order. Raises LineRefused at the first that cannot be understood."""
    return _read_transcript(value, started).messages


def _read_transcript(value: object, started: datetime | None) -> Transcript:
    """Return the messages with the places of the items that were sent."""
    items = inputs.a_list(value, "messages")
    if len(items) > MAX_MESSAGES:
        raise inputs.refuse("messages", f"has {len(items):,} items, at most {MAX_MESSAGES:,}.")
    read = [_read_message(item, f"messages[{at}]", started) for at, item in enumerate(items)]
    starts = list(accumulate(map(len, read), initial=0))
    return Transcript([message for one in read for message in one], starts)


def _read_message(item: object, where: str, started: datetime | None) -> list[Message]:
    if isinstance(item, dict) and item.keys() <= {"role", "content"}:  # nearly all are that simple
        role, content = item.get("role"), item.get("content")
        if isinstance(content, str) and isinstance(role, str) and role in ROLE_OF:
            return [{"role": ROLE_OF[role], "content": sanitise(content)}]
    return read_item(item, where, started)


_OF_TRANSFER = ("after_message", "to_agent_id", "post_call_analysis_setting")


def _transfers(value: object, transcript: Transcript) -> tuple[TransferInput, ...]:
    found = []
    for at, item in enumerate(inputs.a_list(value, "transfers")):
        where = f"transfers[{at}]"
        parts = inputs.an_object(item, where)
        for name in parts:
            if name not in _OF_TRANSFER and parts[name] not in (None, "", [], {}):
                raise inputs.refuse(
                    f"{where}.{name[:60]}", f"is unknown; known are {', '.join(_OF_TRANSFER)}."
                )
        after = inputs.integer(parts.get("after_message"), f"{where}.after_message", 10**9)
        to_agent = inputs.text(
            parts.get("to_agent_id"), f"{where}.to_agent_id", MAX_LENGTHS["agent_id"]
        )
        if not to_agent:
            raise LineRefused("missing_field", f"{where}.to_agent_id is required.", "transfers")
        setting = inputs.choice(
            parts.get("post_call_analysis_setting"),
            f"{where}.post_call_analysis_setting",
            TransferSetting.values,
        )
        found.append(
            TransferInput(
                len(transcript.messages) if after is None else transcript.position(after),
                to_agent,
                setting or TransferSetting.ONLY_DESTINATION_AGENT.value,
            )
        )
    return tuple(found)

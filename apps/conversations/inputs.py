"""A conversation as it was sent, not yet stored: its parts, and how each value is read.

A value that can't be read rejects the line in one message, which names the key and the value.
"""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from apps.core.errors import Example, UserError
from apps.llm.text import sanitise

from .models import PLAIN_TEXT, Conversation, Status, TransferSetting

Message = dict[str, Any]
EARLIEST_YEAR = 1980
_NUMBER = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?")
_SINCE_1970 = re.compile(r"[0-9]{9,19}(?:\.[0-9]{1,9})?")
_UTC = re.compile(r"\s*(?:UTC|GMT|z)\Z")
_NAME_OF_ZONE = re.compile(r"(?<=[Z0-9])\[[A-Za-z_/+-]+\]\Z")
_OF_MAIL = re.compile(
    r"(?:[A-Za-z]{3}, *)?[0-9]{1,2} [A-Za-z]{3} [0-9]{4} [0-9:]{5,8} (?:GMT|UTC?|[+-][0-9]{4})"
)
_LONGEST_TIME = 100
"""Characters. A longer text could keep the patterns above busy for minutes."""
MAX_DEPTH = 100
"""Of nested objects and lists."""

MAX_LENGTHS = {
    "agent_id": 200,
    **{
        name: int(getattr(Conversation._meta.get_field(name), "max_length", 0))
        for name in ("source", "external_id", "from_number", "to_number", *PLAIN_TEXT)
    },
    "recording_url": 4_000,
    "phone_number": 60,
    "email": 320,
    "first_name": 200,
    "last_name": 200,
    "message": 300,
}
"""Longest texts by their keys in a line, in characters; of columns, what the column holds.
``message`` is for the name and the IDs of a message. Parsers check them, and the API documents
them."""


@dataclass(frozen=True, slots=True)
class ContactInput:
    """Who it was with; unknown parts are empty."""

    phone_number: str = ""
    email: str = ""
    first_name: str = ""
    last_name: str = ""


@dataclass(frozen=True, slots=True)
class TransferInput:
    """A move to another agent (its id) after this many messages."""

    after_message: int
    to_agent: str
    setting: str = TransferSetting.ONLY_DESTINATION_AGENT.value


@dataclass(frozen=True, slots=True)
class ConversationInput:
    """One conversation; empty and None mean unknown to the sender.

    ``agent`` is Debrief's id or the platform's; empty leaves it to the source's default. An open
    one has no ``ended_at``: it has lasted for ``duration_ms`` so far. ``at`` of a message is
    ISO 8601. ``analysis`` is a result that another platform made.
    """

    channel: str
    agent: str = ""
    agent_version: int | None = None
    source: str = "api"
    external_id: str = ""
    status: str = Status.ENDED.value
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_ms: int | None = None
    direction: str = ""
    from_number: str = ""
    to_number: str = ""
    recording_url: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Values of the columns of `PLAIN_TEXT`."""
    contact: ContactInput | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    dynamic_variables: Mapping[str, Any] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    transfers: tuple[TransferInput, ...] = ()
    analysis: Mapping[str, Any] | None = None


class LineRefused(UserError):
    """One conversation that cannot be ingested. ``code`` is for programs, per instance."""

    status: ClassVar[int] = 422
    examples = {
        "unknown_agent": Example(
            "agent_id: no agent with ID “agt_x”.",
            {"agent_id": "agent_id: no agent with ID “agt_x”."},
        ),
        "channel_mismatch": Example(
            "agent_id: the agent “agt_x” is a chat agent. The conversation's channel is voice.",
            {"agent_id": "A chat agent."},
        ),
        "not_storable": Example(
            "Couldn't store this conversation: it is larger than the database can store."
        ),
        "unreadable_transcript": Example(
            "Couldn't read transcript: it is missing. The payload is stored and can be replayed."
        ),
    }

    def __init__(self, code: str, message: str, field_name: str = "") -> None:
        super().__init__(message, {field_name: message} if field_name else None)
        self.code = code  # type: ignore[misc]  # the base's is per class; lines have many


# Values


def shown(value: object, limit: int = 60) -> str:
    """Return a rejected value as it is in a message."""
    words = sanitise(str(value))
    return f"“{words[:limit]}…”" if len(words) > limit else f"“{words}”"


def refuse(name: str, message: str) -> LineRefused:
    return LineRefused("invalid_value", f"{name} {message}", name.partition("[")[0])


def text(value: object, name: str, limit: int) -> str:
    """Return a short text; null and missing are empty, numbers are written out (7.0 is 7)."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise refuse(name, f"must be a string, not {shown(value)}.")
    if isinstance(value, float):
        value = _spelled(value, name)
    words = sanitise(str(value)).strip()
    if len(words) > limit:
        raise refuse(name, f"has at most {limit} characters, not {len(words):,}.")
    return words


def _spelled(value: float, name: str) -> str:
    """Return a number as text: spreadsheets and data frames turn 4155550123 into 4155550123.0."""
    if not math.isfinite(value):
        raise refuse(name, "holds a number out of range.")
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else str(value)


def choice(value: object, name: str, known: Sequence[str], *, required: bool = False) -> str:
    """Return one of a closed list; empty where null and not required."""
    words = text(value, name, 10_000)
    if not words and required:
        raise LineRefused("missing_field", f"{name} is required: {' or '.join(known)}.", name)
    if words and words not in known:
        raise refuse(name, f"must be one of {', '.join(known)}, not {shown(words)}.")
    return words


def integer(value: object, name: str, maximum: int) -> int | None:
    """Return a whole number from 0 to ``maximum``; a fraction is rounded, digits as text are
    read, and an empty text is none."""
    if value is None or value == "":
        return None
    value = numeric(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
        raise refuse(name, f"must be a number, not {shown(value)}.")
    if not 0 <= value <= maximum:
        raise refuse(name, f"must be between 0 and {maximum:,}, not {shown(value)}.")
    return round(value)


def numeric(value: object) -> object:
    """Return the number that a text spells in digits, as spreadsheets write it; else the value."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value) if "." in value else int(value)
    return value


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond any float
        return False


def moment(value: object, name: str) -> datetime | None:
    """Return a time: ISO 8601 (without a zone in TIME_ZONE), the form of mail headers, or seconds
    or smaller units since 1970.

    One before 1980 is rejected: 0, the zero dates of programming languages and the day numbers of
    spreadsheets (45678.5) all end up there, and no call of an agent does.
    """
    if value is None or value == "":
        return None
    found: datetime | None = None
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            found = _since_1970(value)
        elif isinstance(value, str):
            found = _in_words(_visible(value))
        if found is not None and timezone.is_naive(found):
            found = timezone.make_aware(found)
        return _in_reach(found, value, name)
    except (ValueError, OverflowError, OSError):
        raise refuse(name, f"isn't a valid timestamp: {shown(value)}.") from None


def _in_reach(found: datetime | None, value: object, name: str) -> datetime:
    if found is None:
        raise refuse(name, f"must be a timestamp such as 2025-01-31T14:00:00Z, not {shown(value)}.")
    found = found.astimezone(UTC)
    if not EARLIEST_YEAR <= found.year <= 2200:
        raise refuse(name, f"is out of range: {shown(value)} is in the year {found.year}.")
    return found


def _since_1970(value: float) -> datetime:
    units = (1_000_000_000, 10**17), (1_000_000, 10**14), (1_000, 10**11)
    divisor = next((per_second for per_second, above in units if value > above), 1)
    return datetime.fromtimestamp(value / divisor if divisor > 1 else value, UTC)


def _in_words(text: str) -> datetime | None:
    """Return the time that a text names; times of Twilio are in the form of mail headers."""
    if len(text) > _LONGEST_TIME:
        return None
    if _SINCE_1970.fullmatch(text):
        return _since_1970(float(text))
    if _OF_MAIL.fullmatch(text):
        return parsedate_to_datetime(text)
    named = _NAME_OF_ZONE.sub("", text)
    found = parse_datetime(_UTC.sub("Z", named)) or _day(text)
    return None if found and named != text and timezone.is_naive(found) else found


def _visible(text: str) -> str:
    """Return a text without blanks around it and marks that no one sees."""
    seen = (c for c in text if unicodedata.category(c) != "Cf")
    return "".join(seen).replace("\N{MINUS SIGN}", "-").strip()


def _day(value: str) -> datetime | None:
    day = parse_date(value)
    return datetime(day.year, day.month, day.day) if day else None  # noqa: DTZ001 (made aware above)


def an_object(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise refuse(name, f"must be an object, not {shown(value)}.")
    return value


def a_list(value: object, name: str) -> Sequence[Any]:
    """Return a list; null and missing are empty."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise refuse(name, f"must be a list, not {shown(value)}.")
    return value


def plain_object(value: object, name: str) -> dict[str, Any]:
    """Return an object of anything, made fit for the database."""
    if value is None:
        return {}
    return {sanitise(str(key)): _clean(item, name) for key, item in an_object(value, name).items()}


def _clean(value: object, name: str, depth: int = 0) -> Any:
    """Return a JSON value without NUL bytes and lone surrogates. Raises LineRefused for what jsonb
    cannot hold: infinite numbers, and nesting without end."""
    if depth > MAX_DEPTH:
        raise refuse(name, f"is nested deeper than {MAX_DEPTH}.")
    if isinstance(value, str):
        return sanitise(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise refuse(name, "holds a number out of range.")
    if isinstance(value, list):
        return [_clean(item, name, depth + 1) for item in value]
    if isinstance(value, dict):
        return {sanitise(str(k)): _clean(item, name, depth + 1) for k, item in value.items()}
    return value

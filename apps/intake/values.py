"""Plain values of a line, each read or rejected in a message."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from apps.conversations.inputs import LineRefused
from apps.llm.text import sanitise

EARLIEST_YEAR = 1980


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
        value = spelled(value, name)
    words = sanitise(str(value)).strip()
    if len(words) > limit:
        raise refuse(name, f"has at most {limit} characters, not {len(words):,}.")
    return words


def spelled(value: float, name: str) -> str:
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
    """Return a whole number from 0 to ``maximum``; a fraction is rounded."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
        raise refuse(name, f"must be a number, not {shown(value)}.")
    if not 0 <= value <= maximum:
        raise refuse(name, f"must be between 0 and {maximum:,}, not {shown(value)}.")
    return round(value)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond any float
        return False


def moment(value: object, name: str) -> datetime | None:
    """Return a time: ISO 8601 (without a zone in TIME_ZONE), or seconds or milliseconds since 1970.

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
            found = parse_datetime(value.strip()) or _day(value.strip())
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
    return datetime.fromtimestamp(value / 1000 if value > 10**11 else value, UTC)


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

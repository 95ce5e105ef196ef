"""Read values of filters; each function raises `BadValueError` with the value and reason."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from .errors import BadValueError

N = TypeVar("N", Decimal, int)

MAX_TEXT = 1_000
MAX_VALUES = 1_000

_NUMBER = re.compile(r"[+-]?\d{1,30}(\.\d{1,30})?([eE][+-]?\d{1,2})?")
_LOST_PLUS = re.compile(r"(T\d\d:\d\d(?::\d\d(?:\.\d+)?)?) (\d\d:?\d\d)$")
_LOST_PHONE_PLUS = re.compile(r"\s\s*\d")
_YES = {"true", "yes", "1"}
_NO = {"false", "no", "0"}
_BIGINT = 2**63


@dataclass(frozen=True, slots=True)
class FilterMoment:
    """A point in time, or a whole day: from ``start`` until before ``end``."""

    start: datetime
    end: datetime | None = None


def shorten(raw: str, limit: int = 60) -> str:
    """Return a rejected value as it appears in a message."""
    visible = raw.replace("\x00", "␀")
    return f"“{visible[:limit]}…”" if len(visible) > limit else f"“{visible}”"


def read_text(raw: str) -> str:
    """Return any text that the database can compare with, up to 1,000 characters."""
    if not raw.strip():
        raise BadValueError("needs a value.")
    if len(raw) > MAX_TEXT:
        raise BadValueError(f"takes at most {MAX_TEXT:,} characters, not {len(raw):,}.")
    if "\x00" in raw:
        raise BadValueError(f"cannot hold a NUL byte, as in {shorten(raw)}.")
    try:
        raw.encode()
    except UnicodeEncodeError:
        raise BadValueError("contains an invalid character (a lone surrogate).") from None
    return raw


def read_phone(raw: str) -> str:
    """Return a phone number, or a part of one, whose plus has not become a blank on its way."""
    text = read_text(raw)
    if _LOST_PHONE_PLUS.match(text):
        raise BadValueError(f"needs a + before {shorten(text.strip())}. In a URL, write + as %2B.")
    return text


def read_number(raw: str) -> Decimal:
    """A plain decimal number; no NaN, no infinity, nothing that takes a gigabyte to write out."""
    text = raw.strip()
    if not _NUMBER.fullmatch(text):
        raise BadValueError(f"needs a number, such as 3 or 0.25, not {shorten(raw)}.")
    return Decimal(text)


def read_integer(raw: str) -> int:
    """Return a whole number that fits a database integer."""
    number = read_number(raw)
    if number != number.to_integral_value():
        raise BadValueError(f"needs a whole number, not {shorten(raw)}.")
    if not -_BIGINT <= number < _BIGINT:
        raise BadValueError(f"is out of range: {shorten(raw)}.")
    return int(number)


def read_yes_no(raw: str) -> bool:
    """true or false; yes, no, 1 and 0 serve too."""
    text = raw.strip().casefold()
    if text not in _YES | _NO:
        raise BadValueError(f"is true or false, not {shorten(raw)}.")
    return text in _YES


def read_moment(raw: str) -> FilterMoment:
    """A bare date is a whole day of TIME_ZONE; a time without a zone is in TIME_ZONE."""
    text = _LOST_PLUS.sub(r"\1+\2", raw.strip())  # an unquoted + in a URL arrives as a blank
    try:
        if (day := parse_date(text)) is not None:
            return FilterMoment(_midnight(day), _midnight(day + timedelta(days=1)))
        moment = parse_datetime(text)
    except (ValueError, OverflowError):
        raise BadValueError(f"isn't a valid date or time: {shorten(raw)}.") from None
    if moment is None:
        raise BadValueError(
            f"needs a date such as 2025-01-31 or a time such as 2025-01-31T14:00Z, "
            f"not {shorten(raw)}."
        )
    try:
        if timezone.is_naive(moment):
            moment = timezone.make_aware(moment)
        return FilterMoment(moment.astimezone(timezone.get_current_timezone()))
    except (ValueError, OverflowError):
        raise BadValueError(f"is out of range: {shorten(raw)}.") from None


def split_range(raw: str) -> tuple[str, str]:
    """``LOW,HIGH`` as its two ends, both needed."""
    low, comma, high = raw.partition(",")
    if not comma or not low.strip() or not high.strip() or "," in high:
        raise BadValueError(f"between needs two values as LOW,HIGH, not {shorten(raw)}.")
    return low, high


def read_numbers(operator: str, raw: str) -> tuple[Decimal, ...]:
    """Return the one number of a comparison, or the two of ``between``."""
    if operator != "between":
        return (read_number(raw),)
    low, high = (read_number(end) for end in split_range(raw))
    return _in_order(low, high, raw)


def read_integers(operator: str, raw: str) -> tuple[int, ...]:
    """Return the same for a column of whole numbers."""
    if operator != "between":
        return (read_integer(raw),)
    low, high = (read_integer(end) for end in split_range(raw))
    return _in_order(low, high, raw)


def read_moments(operator: str, raw: str) -> tuple[FilterMoment, ...]:
    """Return the same for times."""
    if operator != "between":
        return (read_moment(raw),)
    low, high = (read_moment(end) for end in split_range(raw))
    if high.start < low.start:
        raise BadValueError(f"between: the start must come before the end: {shorten(raw)}.")
    return (low, high)


def _in_order(low: N, high: N, raw: str) -> tuple[N, N]:
    if high < low:
        raise BadValueError(f"between: the lower number must come first: {shorten(raw)}.")
    return (low, high)


def _midnight(day: date) -> datetime:
    moment = timezone.make_aware(datetime(day.year, day.month, day.day))  # noqa: DTZ001
    moment.timestamp()  # the first and last days of the calendar overflow here, not in SQL
    return moment

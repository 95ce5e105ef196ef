"""Read, check, and display values of contact fields.

A stored value is JSON: text, a number, true or false; a date as ``2026-11-28``, a date and time
as ``2026-11-28T14:03:22Z``. The same value is always stored the same way, so that equal values
compare equal.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models
from django.utils import timezone

from apps.core import display
from apps.core.validation_messages import shown
from apps.core.yes_no import yes_or_no
from apps.llm.text import sanitise

NAME_PATTERN = r"^[a-z][a-z0-9_]*$"
BUILT_IN_TARGETS = ("first_name", "last_name", "email")
"""The fields that mappings can set besides custom ones. A phone number is an identity."""
RESERVED_NAMES = (
    "phone_number",
    *BUILT_IN_TARGETS,
    "id",
    "name",
    "fields",
    "origin",
    "created_at",
    "updated_at",
)
TEXT_LIMIT = 20_000
"""Characters of a text value."""

Value = str | int | float | bool


class FieldType(models.TextChoices):
    TEXT = "text", "Text"
    NUMBER = "number", "Number"
    BOOLEAN = "boolean", "Yes/no"
    DATE = "date", "Date"
    DATETIME = "datetime", "Date and time"
    CHOICE = "choice", "Choice"


@dataclass(frozen=True, slots=True)
class ValueSpec:
    """The type of a value. ``limit`` is the maximum length of a text."""

    type: FieldType
    choices: tuple[str, ...] = ()
    limit: int = TEXT_LIMIT
    is_email: bool = False


BUILT_IN_SPECS = {
    "first_name": ValueSpec(FieldType.TEXT, limit=200),
    "last_name": ValueSpec(FieldType.TEXT, limit=200),
    "email": ValueSpec(FieldType.TEXT, limit=320, is_email=True),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """A value, None for an empty one; or the reason why it doesn't fit, as a message."""

    value: Value | None = None
    problem: str = ""


class _Misfit(ValueError):
    """Raised for a value that doesn't fit its type. The message says why."""


def read(spec: ValueSpec, raw: object) -> Reading:
    """Return a value of this type from JSON or text, or why it doesn't fit. Never raise."""
    if isinstance(raw, str):
        raw = sanitise(raw).strip()
    if raw is None or raw in ("", []):
        return Reading()
    try:
        return Reading(_READERS[spec.type](spec, raw))
    except _Misfit as misfit:
        return Reading(problem=str(misfit))


def show(spec: ValueSpec, value: Value | None) -> str:
    """Return a stored value as pages show it."""
    if value is None:
        return display.NOTHING
    if spec.type == FieldType.BOOLEAN:
        return "Yes" if value is True else "No"
    if spec.type == FieldType.NUMBER:
        return display.number(value)
    if spec.type == FieldType.DATE:
        return date.fromisoformat(str(value)).strftime("%b %-d, %Y")
    if spec.type == FieldType.DATETIME:
        return display.exact(datetime.fromisoformat(str(value)))
    return str(value)


def as_text(value: Value | None) -> str:
    """Return a stored value as text that `read` accepts, for CSV and form fields."""
    return display.one_line(value)


def _text(spec: ValueSpec, raw: object) -> str:
    if isinstance(raw, dict) or (isinstance(raw, list) and any(map(_is_nested, raw))):
        raise _Misfit(f"{shown(raw)} is not text.")
    text = sanitise(display.one_line(raw))
    if len(text) > spec.limit:
        raise _Misfit(f"The text has {len(text):,} characters. The maximum is {spec.limit:,}.")
    return _email(text) if spec.is_email else text


def _is_nested(value: object) -> bool:
    return isinstance(value, dict | list)


def _email(text: str) -> str:
    """Return an email address in lowercase, as intake stores it."""
    try:
        validate_email(text)
    except ValidationError:
        raise _Misfit(f"{shown(text)} is not an email address.") from None
    return text.lower()


_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def _number(spec: ValueSpec, raw: object) -> int | float:
    if isinstance(raw, str):
        text = raw.replace(",", "") if _GROUPED.fullmatch(raw) else raw
        raw = float(text) if _NUMBER.fullmatch(text) and len(text) <= 100 else raw
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise _Misfit(f"{shown(raw)} is not a number.")
    if abs(raw) >= 1e300 or not math.isfinite(raw):
        raise _Misfit(f"{shown(raw)} is too large for a number.")
    return int(raw) if raw == int(raw) and abs(raw) < 2**53 else float(raw)


def _boolean(spec: ValueSpec, raw: object) -> bool:
    if (truth := yes_or_no(raw)) is None:
        raise _Misfit(f"{shown(raw)} is not yes or no.")
    return truth


def _moment(raw: object) -> datetime | None:
    """Return the time that ISO 8601 text means, by default in the installation's zone."""
    try:
        moment = datetime.fromisoformat(raw) if isinstance(raw, str) else None
    except ValueError:
        return None
    if moment is None or timezone.is_aware(moment):
        return moment
    return timezone.make_aware(moment)


_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def _date(spec: ValueSpec, raw: object) -> str:
    if isinstance(raw, str) and _ISO_DATE.match(raw) and (moment := _moment(raw)):
        # The day as written: 23:30+02:00 is that day, whatever day it is elsewhere by then.
        return moment.date().isoformat()
    raise _Misfit(f"{shown(raw)} is not a date such as 2026-11-28.")


def _datetime(spec: ValueSpec, raw: object) -> str:
    if isinstance(raw, str) and _ISO_DATE.match(raw) and (moment := _moment(raw)):
        try:
            return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
        except OverflowError:
            pass
    raise _Misfit(f"{shown(raw)} is not a date and time such as 2026-11-28T14:00.")


def _choice(spec: ValueSpec, raw: object) -> str:
    text = "" if _is_nested(raw) else display.one_line(raw)
    if text in spec.choices:
        return text
    for choice in spec.choices:
        if choice.casefold() == text.casefold():
            return choice
    raise _Misfit(f"{shown(raw)} is not one of the choices.")


_READERS: dict[FieldType, Callable[[ValueSpec, object], Value]] = {
    FieldType.TEXT: _text,
    FieldType.NUMBER: _number,
    FieldType.BOOLEAN: _boolean,
    FieldType.DATE: _date,
    FieldType.DATETIME: _datetime,
    FieldType.CHOICE: _choice,
}

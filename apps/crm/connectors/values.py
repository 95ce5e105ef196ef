"""Convert values of contact fields to a CRM's fields, and decide which types fit which.

HubSpot and Salesforce differ in how they write a value, not in what fits: a `Dialect` says how.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from .base import FieldType, RemoteField
from .shortening import shortened

_SEPARATORS = re.compile(r"[;\n]")
_SHOWN_OPTIONS = 8

_FITS: Mapping[FieldType, frozenset[FieldType]] = {
    FieldType.TEXT: frozenset({FieldType.TEXT}),
    FieldType.NUMBER: frozenset({FieldType.NUMBER, FieldType.TEXT}),
    FieldType.BOOLEAN: frozenset({FieldType.BOOLEAN, FieldType.TEXT}),
    FieldType.DATE: frozenset({FieldType.DATE, FieldType.TEXT}),
    FieldType.DATETIME: frozenset({FieldType.DATETIME, FieldType.TEXT}),
    FieldType.CHOICE: frozenset({FieldType.CHOICE, FieldType.TEXT}),
}
_NOUNS = {
    FieldType.TEXT: "text",
    FieldType.NUMBER: "a number",
    FieldType.BOOLEAN: "yes/no",
    FieldType.DATE: "a date",
    FieldType.DATETIME: "a date and time",
    FieldType.CHOICE: "a choice",
    FieldType.OTHER: "of a type that can’t be mapped",
}


class Misfit(ValueError):
    """Raised for a value that a field of the CRM can't hold. The message is for a person."""


def options(remote: RemoteField) -> dict[str, str]:
    """Return the choices by how a person may write them, in lower case.

    That is the internal name or the label; a name wins over a label that is spelled the same.
    """
    labeled = zip(remote.labels, remote.choices, strict=False)
    written = {label.strip().lower(): name for label, name in reversed([*labeled])}
    return written | {name.strip().lower(): name for name in reversed(remote.choices)}


def mismatch(
    contact_type: FieldType, remote: RemoteField, choices: Sequence[str] = ()
) -> str | None:
    """Return why a contact field of this type can't be written to the remote field, or None.

    ``choices`` are those of the contact field, for a choice: each must be one of the remote
    field's.
    """
    if not remote.writable:
        return f"{remote.label} can’t be changed through the API."
    fits = remote.type in _FITS.get(contact_type, frozenset())
    if not fits and not (remote.several and contact_type is FieldType.TEXT):
        theirs, ours = _NOUNS[remote.type], _NOUNS[contact_type]
        return f"{remote.label} is {theirs} in the CRM, and the contact field is {ours}."
    if remote.type is FieldType.CHOICE and remote.restricted:
        known = options(remote)
        unknown = [one for one in choices if one.strip().lower() not in known]
        if unknown:
            return f"{remote.label} has no option “{unknown[0]}”. {_listed(remote)}"
    return None


def _listed(remote: RemoteField) -> str:
    shown = ", ".join(remote.choices[:_SHOWN_OPTIONS])
    more = "" if len(remote.choices) <= _SHOWN_OPTIONS else ", …"
    return f"Options: {shown}{more}." if shown else "It has no options."


class Dialect(ABC):
    """How a vendor writes values. Conversion itself is the same for all."""

    empty: Any = None
    """What clears a field."""

    def written(self, value: Any, contact_type: FieldType, remote: RemoteField) -> Any:
        """Return the value as a request holds it. Raises Misfit."""
        if value is None or value == "":
            return self.cleared(remote)
        if problem := mismatch(contact_type, remote):
            raise Misfit(problem)
        convert: Mapping[FieldType, Callable[[Any, RemoteField], Any]] = {
            FieldType.TEXT: self._text,
            FieldType.NUMBER: self._number,
            FieldType.CHOICE: self._choice,
        }
        if remote.type in convert:
            return convert[remote.type](value, remote)
        if remote.type is FieldType.BOOLEAN:
            return self.boolean(value=bool(value))
        return (
            _date(value).isoformat() if remote.type is FieldType.DATE else self.time(_time(value))
        )

    def cleared(self, remote: RemoteField) -> Any:
        """Return what empties this field."""
        return self.empty

    @abstractmethod
    def number(self, value: Decimal) -> Any:
        """Return a number as a request holds it."""

    @abstractmethod
    def boolean(self, *, value: bool) -> Any:
        """Return yes or no as a request holds it."""

    def time(self, value: datetime) -> str:
        """Return a time as a request holds it: UTC, to the millisecond."""
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _text(self, value: Any, remote: RemoteField) -> str:
        if isinstance(value, bool):
            text = "Yes" if value else "No"
        elif isinstance(value, int | float):
            text = plain_number(Decimal(str(value)))
        else:
            text = str(value)
        return text if remote.max_length is None else shortened(text, remote.max_length)

    def _number(self, value: Any, remote: RemoteField) -> Any:
        number = Decimal(str(value))
        if not number.is_finite():
            raise Misfit(f"{remote.label} must be a number, not “{value}”.")
        if remote.whole and number != number.to_integral_value():
            raise Misfit(f"{remote.label} takes whole numbers only, not {plain_number(number)}.")
        return self.number(number)

    def _choice(self, value: Any, remote: RemoteField) -> str:
        known, parts = options(remote), [str(value)]
        if remote.several and str(value).strip().lower() not in known:
            parts = [part.strip() for part in _SEPARATORS.split(str(value)) if part.strip()]
        chosen = [self._option(part, remote, known) for part in parts]
        return ";".join(dict.fromkeys(chosen))

    def _option(self, text: str, remote: RemoteField, known: Mapping[str, str]) -> str:
        if text in remote.choices:
            return text
        if found := known.get(text.strip().lower()):
            return found
        if not remote.restricted:
            return text
        raise Misfit(f"“{text}” isn’t an option of {remote.label}. {_listed(remote)}")


def plain_number(number: Decimal) -> str:
    """Return a number without an exponent and without trailing zeros after the point."""
    text = f"{number:f}"
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def _date(value: Any) -> date:
    return value if isinstance(value, date) else date.fromisoformat(str(value))


def _time(value: Any) -> datetime:
    found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


HUBSPOT_TEXT = 65_536


class HubSpotDialect(Dialect):
    """HubSpot takes every value as text; the empty text clears a property."""

    empty = ""

    def number(self, value: Decimal) -> str:
        return plain_number(value)

    def boolean(self, *, value: bool) -> str:
        return "true" if value else "false"


class SalesforceDialect(Dialect):
    """Salesforce takes JSON values; null clears a field, except for a checkbox."""

    def cleared(self, remote: RemoteField) -> bool | None:
        return False if remote.type is FieldType.BOOLEAN else None

    def number(self, value: Decimal) -> int | float:
        whole = value == value.to_integral_value()
        return int(value) if whole else float(value)

    def boolean(self, *, value: bool) -> bool:
        return value

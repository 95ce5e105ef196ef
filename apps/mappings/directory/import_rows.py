"""Rows of an imported file: which column fills which field, and what each row would do."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from apps.contacts.identifiers import holders_of
from apps.contacts.models import Contact, ContactField
from apps.contacts.phone_numbers import normal_number
from apps.contacts.values import BUILT_IN_SPECS, FieldType, Value, ValueSpec, read

from .csv_files import plain
from .profile import BUILT_IN_LABELS, value_in

UPDATED_AT = "updated_at"
_SPELLINGS = {
    "phone_number": "phone phonenumber number mobile mobilephone telephone tel cell caller",
    "email": "email emailaddress mail",
    "first_name": "firstname givenname forename vorname",
    "last_name": "lastname surname familyname nachname",
    UPDATED_AT: "updatedat updated lastupdated lastmodified modifiedat",
}
_MOMENT = ValueSpec(FieldType.DATETIME)


def targets(custom: Iterable[ContactField]) -> list[tuple[str, str]]:
    """What a column can be: (name, label)."""
    return [
        *BUILT_IN_LABELS.items(),
        *((f.name, f.label) for f in custom),
        (UPDATED_AT, "Time of the values"),
    ]


def guess(header: Sequence[str], custom: Sequence[ContactField]) -> list[str]:
    """Guess the target of each column by its name; each target once, empty where none fits."""
    known = {word: name for name, words in _SPELLINGS.items() for word in words.split()}
    for item in custom:
        known |= {_folded(item.label): item.name, _folded(item.name): item.name}
    guessed: list[str] = []
    for name in header:
        found = known.get(_folded(name.removeprefix("fields.")), "")
        guessed.append("" if found in guessed else found)
    return guessed


def _folded(text: str) -> str:
    return re.sub(r"[\W_]", "", text.casefold())


@dataclass(slots=True)
class ImportRow:
    """One row: its line in the file, cells, the values that it brings, and its problem if any."""

    line: int
    cells: Sequence[str]
    phone_number: str = ""
    email: str = ""
    values: dict[str, Value] = field(default_factory=dict)
    at: datetime | None = None
    problem: str = ""
    contact: Contact | None = None

    @property
    def outcome(self) -> str:
        """Its effect: new, updated, unchanged, or rejected."""
        if self.problem:
            return "rejected"
        if self.contact is None:
            return "new"
        return "updated" if self.news else "unchanged"

    @property
    def news(self) -> dict[str, Any]:
        """The values that differ from those that the contact has."""
        if self.contact is None:
            return dict(self.values)
        return {n: v for n, v in self.values.items() if value_in(self.contact, n) != v}


class RowReader:
    """Reads the rows of one file. Remembers whom it has met, to reject a second row of them."""

    def __init__(self, columns: Sequence[str], custom: Iterable[ContactField]) -> None:
        self.columns = columns
        self.specs = {**BUILT_IN_SPECS, **{f.name: f.spec for f in custom}}
        self.labels = dict(targets(custom))
        self.met: dict[str, int] = {}

    def read(self, line: int, cells: Sequence[str]) -> ImportRow:
        """Read one row, without looking at contacts."""
        row = ImportRow(line, cells)
        if any(cell.strip() for cell in cells[len(self.columns) :]):
            row.problem = f"The row has {len(cells)} cells, but the header has {len(self.columns)}."
            return row
        for name, cell in zip(self.columns, cells, strict=False):
            text = plain(cell)
            if name and text and not row.problem:
                self._take(row, name, text)
        if not row.problem and not row.phone_number and not row.email:
            row.problem = "A contact needs a phone number or an email."
        if not row.problem:
            self._meet(row)
        return row

    def _take(self, row: ImportRow, name: str, text: str) -> None:
        if name == "phone_number":
            row.phone_number = normal_number(text)
            if not row.phone_number or len(row.phone_number) > 60:
                row.problem = f"Phone number: “{text[:60]}” is not a phone number."
            return
        reading = read(_MOMENT if name == UPDATED_AT else self.specs[name], text)
        if reading.problem:
            row.problem = f"{self.labels[name]}: {reading.problem}"
        elif name == UPDATED_AT:
            row.at = min(datetime.fromisoformat(str(reading.value)), datetime.now(UTC))
        elif reading.value is not None:
            row.values[name] = reading.value
            row.email = str(reading.value) if name == "email" else row.email

    def _meet(self, row: ImportRow) -> None:
        for key in filter(None, (row.phone_number, row.email)):
            if (line := self.met.get(key)) is not None:
                row.problem = f"Line {line} already has {key}."
                return
        self.met |= dict.fromkeys(filter(None, (row.phone_number, row.email)), row.line)


def find_contacts(rows: Sequence[ImportRow]) -> None:
    """Find the contact of each row, in three queries; a row that two contacts claim is rejected."""
    valid = [row for row in rows if not row.problem]
    held = holders_of(
        phones=[row.phone_number for row in valid], emails=[row.email for row in valid]
    )
    keys = {*held.by_phone.values(), *held.by_email.values()}
    known: Mapping[int, Contact] = Contact.objects.in_bulk(keys)
    for row in valid:
        by_phone = known.get(held.by_phone.get(row.phone_number, 0))
        by_email = known.get(held.by_email.get(row.email, 0))
        if by_phone and by_email and by_phone.pk != by_email.pk:
            row.problem = "The phone number and the email belong to two contacts. Merge them first."
        elif by_email and not by_phone and row.phone_number and by_email.phone_number:
            row.problem = f"{row.email} belongs to a contact with another phone number."
        row.contact = by_phone or by_email
        if by_email and by_email.email != row.email:  # it leads to the contact as an alias
            row.values.pop("email", None)

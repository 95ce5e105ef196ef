"""Columns of the contact list and of its export."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.contacts.models import Contact, ContactField
from apps.conversations.filters import FilterError

SHOWN_CUSTOM = 3
"""Custom fields that the list shows where no columns are selected."""


@dataclass(frozen=True, slots=True)
class Talk:
    """How often a person called and chatted, and when last."""

    calls: int = 0
    chats: int = 0
    last: datetime | None = None

    @property
    def total(self) -> int:
        return self.calls + self.chats


@dataclass(frozen=True, slots=True)
class Column:
    """One column; ``custom`` is the custom field that it shows."""

    name: str
    label: str
    sorts: bool = False
    custom: ContactField | None = None

    def read(self, contact: Contact, talk: Talk) -> Any:
        """Return the value, as plain data."""
        if self.custom is not None:
            return contact.fields.get(self.custom.name)
        return _READ[self.name](contact, talk)


_READ: Mapping[str, Callable[[Contact, Talk], Any]] = {
    "name": lambda contact, _: contact.name,
    "phone_number": lambda contact, _: contact.phone_number,
    "email": lambda contact, _: contact.email,
    "conversations": lambda _, talk: talk.total,
    "last_conversation": lambda _, talk: talk.last,
    "updated_at": lambda contact, _: contact.updated_at,
    "created_at": lambda contact, _: contact.created_at,
    "origin": lambda contact, _: contact.origin,
    "id": lambda contact, _: contact.public_id,
}
_STATIC = (
    Column("name", "Name", sorts=True),
    Column("phone_number", "Phone number", sorts=True),
    Column("email", "Email", sorts=True),
    Column("conversations", "Conversations"),
    Column("last_conversation", "Last conversation"),
    Column("updated_at", "Updated", sorts=True),
    Column("created_at", "Created", sorts=True),
    Column("origin", "Created by"),
    Column("id", "ID"),
)
_USUAL = ("name", "phone_number", "email")
_USUAL_END = ("conversations", "last_conversation", "updated_at")


def all_columns(custom: Sequence[ContactField]) -> list[Column]:
    """Every column that can be shown."""
    return [*_STATIC, *(Column(f"fields.{f.name}", f.label, custom=f) for f in custom)]


def usual_names(custom: Sequence[ContactField]) -> list[str]:
    """The names of the columns that the list shows where none are selected."""
    return [*_USUAL, *(f"fields.{f.name}" for f in custom[:SHOWN_CUSTOM]), *_USUAL_END]


def columns_of(names: Sequence[str], custom: Sequence[ContactField]) -> list[Column]:
    """The columns of these names, else the usual ones. Raises FilterError for an unknown one."""
    by_name = {column.name: column for column in all_columns(custom)}
    wanted = list(dict.fromkeys(names)) or usual_names(custom)
    if unknown := [name for name in wanted if name not in by_name]:
        raise FilterError({"columns": f"Unknown column “{unknown[0][:60]}”."})
    return [by_name[name] for name in wanted]

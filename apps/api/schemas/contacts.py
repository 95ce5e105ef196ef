"""Contacts, their custom fields, and where values come from."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr

from apps.contacts.models import Contact, ContactField, Origin
from apps.contacts.services import MOST_CHOICES, InvalidContactField
from apps.contacts.values import FieldType
from apps.core.schemas import Body, Choice, Schema, Time, eg
from apps.mappings.directory.profile import FieldLine
from apps.mappings.models import Contribution, ContributionKind

from . import examples
from .common import Page

ContactValue = StrictBool | StrictInt | StrictFloat | StrictStr
"""A text, a number, true or false; dates and times are ISO 8601."""


class ContactSource(Schema):
    """Where a value comes from. Exactly one key is present."""

    conversation_id: Annotated[str, eg(examples.CONVERSATION_ID)] = ""
    """The conversation whose analysis set it."""
    manual: Annotated[str, eg("Ada Lovelace")] = ""
    """Who entered it."""
    imported: Annotated[str, eg("Ada Lovelace")] = ""
    """Who imported it."""
    example = {"conversation_id": examples.CONVERSATION_ID}

    @classmethod
    def from_contribution(cls, row: Contribution) -> Self:
        """Return the source of a contribution, loaded with its conversation."""
        if row.conversation is not None:
            return cls(conversation_id=row.conversation.public_id)
        if row.kind == ContributionKind.IMPORT:
            return cls(imported=row.by)
        return cls(manual=row.by)


class ContactFieldValue(Schema):
    """The value of a custom field."""

    value: Annotated[ContactValue, eg("pro")]
    updated_at: Annotated[Time, eg("2025-01-18T15:30:00Z")] | None
    """When the conversation took place, or the edit was made."""
    source: ContactSource | None

    @classmethod
    def from_line(cls, line: FieldLine) -> Self:
        """Return a field that has a value."""
        assert line.value is not None
        source = line.source
        return cls(
            value=line.value,
            updated_at=source.at if source else None,
            source=ContactSource.from_contribution(source) if source else None,
        )


class ContactRecordSchema(Schema):
    """A contact with the values of its custom fields; a field without a value has no key."""

    id: Annotated[str, eg(examples.CONTACT_ID)]
    phone_number: Annotated[str | None, eg("+14155550132")]
    email: Annotated[str | None, eg("ada@example.com")]
    first_name: Annotated[str, eg("Ada")]
    last_name: Annotated[str, eg("Lovelace")]
    fields_: Annotated[
        dict[str, ContactFieldValue],
        Field(alias="fields"),
        eg({"plan": ContactFieldValue.get_example()}),
    ]
    origin: Annotated[Origin, eg("conversation")]
    created_at: Annotated[Time, eg("2025-01-10T08:00:00Z")]
    updated_at: Annotated[Time, eg("2025-01-18T15:30:00Z")]

    @classmethod
    def from_contact(cls, contact: Contact, lines: Mapping[str, FieldLine]) -> Self:
        """Return a contact; ``lines`` are its custom fields by name."""
        return cls(
            id=contact.public_id,
            phone_number=contact.phone_number,
            email=contact.email,
            first_name=contact.first_name,
            last_name=contact.last_name,
            fields_={
                name: ContactFieldValue.from_line(line)
                for name, line in lines.items()
                if line.value is not None
            },
            origin=Origin(contact.origin),
            created_at=contact.created_at,
            updated_at=contact.updated_at,
        )


class Contacts(Page[ContactRecordSchema]):
    """One page of contacts."""


class ContactRecordIn(Body):
    """Values to set of a contact. Keys you leave out are unchanged; null empties."""

    example = {
        "phone_number": "+14155550199",
        "email": "grace@example.com",
        "first_name": "Grace",
        "last_name": "Hopper",
        "fields": {},
    }

    phone_number: Annotated[str, Field(max_length=100)] | None = None
    """Any common form; stored as E.164 if it names its country."""
    email: Annotated[str, Field(max_length=320)] | None = None
    first_name: Annotated[str, Field(max_length=200)] | None = None
    last_name: Annotated[str, Field(max_length=200)] | None = None
    fields_: Annotated[dict[str, ContactValue | None], Field(alias="fields")] = {}
    """Values of custom fields by name."""


class ContactFieldSchema(Schema):
    """A custom field of contacts."""

    name: Annotated[str, eg("plan")]
    label: Annotated[str, eg("Plan")]
    type: Annotated[FieldType, eg("choice")]
    choices: Annotated[list[str], eg(["free", "pro"])]
    created_by: Annotated[str, eg("Ada Lovelace")]
    created_at: Annotated[Time, eg("2025-01-10T08:00:00Z")]

    @classmethod
    def from_field(cls, field: ContactField) -> Self:
        """Return a field."""
        return cls(
            name=field.name,
            label=field.label,
            type=FieldType(field.type),
            choices=field.choices,
            created_by=field.created_by,
            created_at=field.created_at,
        )


class ContactFields(Page[ContactFieldSchema]):
    """One page of custom fields."""


class ContactFieldIn(Body):
    """A new custom field. Its name and type can't change later."""

    missing = InvalidContactField
    example = {
        "name": "preferred_language",
        "label": "Preferred language",
        "type": "choice",
        "choices": ["en", "de"],
    }

    name: Annotated[str, Field(max_length=60)]
    """Lowercase letters, digits, and underscores, beginning with a letter."""
    type: Annotated[FieldType, Choice]
    label: Annotated[str, Field(max_length=100)] = ""
    """Default: the name in words."""
    choices: Annotated[
        list[Annotated[str, Field(max_length=200)]], Field(max_length=MOST_CHOICES)
    ] = []
    """Of a field of type choice."""

"""Contacts, their custom fields, and mappings, written straight into their tables."""

from itertools import count
from typing import Any

from apps.contacts.models import Contact, ContactField
from apps.mappings.models import Mapping

_numbers = count(1)


def make_contact(**values: Any) -> Contact:
    """A contact with a phone number of its own."""
    defaults = {"phone_number": f"+1202555{next(_numbers):04d}"}
    return Contact.objects.create(**defaults | values)


def make_contact_field(name: str = "plan", kind: str = "text", **values: Any) -> ContactField:
    defaults: dict[str, Any] = {"label": name.replace("_", " ").capitalize(), "created_by": "tests"}
    return ContactField.objects.create(name=name, type=kind, **defaults | values)


def make_mapping(analysis_field: str, contact_field: str, **values: Any) -> Mapping:
    """A mapping for all agents that overwrites."""
    return Mapping.objects.create(
        analysis_field=analysis_field,
        contact_field=contact_field,
        **{"created_by": "tests"} | values,
    )

"""Values of contacts as a CRM gets them."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from apps.contacts.models import Contact, ContactField
from apps.contacts.values import BUILT_IN_SPECS, BUILT_IN_TARGETS, FieldType, ValueSpec

BUILT_IN_LABELS = {"first_name": "First name", "last_name": "Last name", "email": "Email"}


def values_of(contact: Contact) -> dict[str, Any]:
    """Return the current values by contact field; a field without a value is None or missing."""
    own = {name: getattr(contact, name) or None for name in BUILT_IN_TARGETS}
    return {**contact.fields, **own}


def specs() -> dict[str, ValueSpec]:
    """Return the type of each contact field that can be sent, in the order of pages."""
    custom = {one.name: one.spec for one in ContactField.objects.all()}
    return {**BUILT_IN_SPECS, **custom}


def labels() -> dict[str, str]:
    """Return the label of each contact field that can be sent, in the order of pages."""
    return BUILT_IN_LABELS | dict(ContactField.objects.values_list("name", "label"))


def types_of(found: Mapping[str, ValueSpec]) -> dict[str, FieldType]:
    """Return only the types."""
    return {name: spec.type for name, spec in found.items()}


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal as JSON: 1 is not true."""
    return canonical(one) == canonical(other)


def digest(value: Any) -> str:
    """Return a short digest of a value: equal values have the same."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:20]


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)

"""Create and edit custom fields of contacts."""

import re
from collections.abc import Sequence

from django.db import transaction

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.core.errors import Conflict, Example, UserError
from apps.core.validation_messages import shown

from .models import Contact, ContactField
from .values import NAME_PATTERN, RESERVED_NAMES, FieldType

MOST_CHOICES = 500


class InvalidContactField(UserError):
    """Raised for an invalid contact field. ``fields`` has a message per input."""

    code = "invalid_contact_field"
    example = Example(
        "“Plan!” must be lowercase letters, digits, and “_”, starting with a letter.",
        {"name": "“Plan!” must be lowercase letters, digits, and “_”, starting with a letter."},
    )


class ContactFieldExists(Conflict):
    """Raised for a name that another field has."""

    code = "contact_field_exists"
    example = Example("The contact field “plan” already exists.")


@transaction.atomic
def create_field(
    *, name: str, label: str, kind: str, choices: Sequence[str] = (), by: Actor
) -> ContactField:
    """Create a custom field. Raise InvalidContactField or ContactFieldExists."""
    label = label.strip() or name.replace("_", " ").capitalize()
    problems = _problems(name=name, label=label, kind=kind, choices=choices)
    if problems:
        raise InvalidContactField(" ".join(problems.values()), problems)
    field, is_new = ContactField.objects.get_or_create(
        name=name,
        defaults={
            "label": label,
            "type": kind,
            "choices": list(choices),
            "created_by": by.label,
        },
    )
    if not is_new:
        message = f"The contact field “{name}” already exists."
        raise ContactFieldExists(message, {"name": message})
    audit.record(by=by, verb="contact_field.created", target=name, detail={"type": kind})
    return field


@transaction.atomic
def edit_field(
    *, field: ContactField, label: str, choices: Sequence[str], by: Actor
) -> ContactField:
    """Change the label and the choices. A choice that contacts have can't be removed."""
    stored = ContactField.objects.select_for_update().get(pk=field.pk)
    label = label.strip() or stored.label
    problems = _problems(name=stored.name, label=label, kind=stored.type, choices=choices)
    gone = [choice for choice in stored.choices if choice not in choices]
    for choice in gone:
        if used := Contact.objects.filter(fields__contains={stored.name: choice}).count():
            problems["choices"] = f"“{choice}” is the value of {used:,} contacts. Keep it."
    if problems:
        raise InvalidContactField(" ".join(problems.values()), problems)
    before = {"label": stored.label, "choices": stored.choices}
    stored.label, stored.choices = label, list(choices)
    after = {"label": stored.label, "choices": stored.choices}
    if before != after:
        stored.save(update_fields=["label", "choices"])
        audit.record(
            by=by,
            verb="contact_field.changed",
            target=stored.name,
            detail={"before": before, "after": after},
        )
    return stored


def _problems(*, name: str, label: str, kind: str, choices: Sequence[str]) -> dict[str, str]:
    """Return a message per invalid input."""
    problems = {}
    if not re.fullmatch(NAME_PATTERN, name) or len(name) > 60:
        problems["name"] = (
            f"{shown(name)} must be lowercase letters, digits, and “_”, starting with a "
            "letter, at most 60 characters."
        )
    elif name in RESERVED_NAMES:
        problems["name"] = f"“{name}” is reserved. Choose another name."
    if len(label) > 100 or "\x00" in label:
        problems["label"] = "The label can have at most 100 characters."
    if kind not in FieldType.values:
        problems["type"] = (
            f"The type must be one of {', '.join(FieldType.values)}, not {shown(kind)}."
        )
    elif message := _choice_problem(kind, choices):
        problems["choices"] = message
    return problems


def _choice_problem(kind: str, choices: Sequence[str]) -> str:
    if kind != FieldType.CHOICE:
        return "Only a field of type choice has choices." if choices else ""
    if not choices:
        return "A field of type choice needs at least one choice."
    if len(choices) > MOST_CHOICES:
        return f"A field can have at most {MOST_CHOICES:,} choices."
    seen: set[str] = set()
    for choice in choices:
        if not choice or choice != choice.strip() or len(choice) > 200 or "\x00" in choice:
            return f"{shown(choice)} must have 1–200 characters and no spaces around them."
        if choice.casefold() in seen:
            return f"{shown(choice)} is there twice."
        seen.add(choice.casefold())
    return ""

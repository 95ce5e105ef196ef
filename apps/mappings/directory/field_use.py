"""Which custom fields of contacts are in use; unused ones can be deleted."""

from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.contacts.models import Contact, ContactField
from apps.core.errors import Conflict, Example
from apps.mappings.models import Contribution, Mapping


class ContactFieldInUse(Conflict):
    """Raised for a field with values or mappings, which can't be deleted."""

    code = "contact_field_in_use"
    example = Example("The field “plan” is in use: 12 contacts have a value. It can’t be deleted.")


@dataclass(frozen=True, slots=True)
class FieldUse:
    """What uses a field: values of contacts, contributed values, and mappings."""

    field: ContactField
    contacts: int
    mappings: int
    has_history: bool = False

    @property
    def is_used(self) -> bool:
        return bool(self.contacts or self.mappings or self.has_history)


def lines() -> list[FieldUse]:
    """Every field with what uses it, in three queries and one per field."""
    mapped: dict[str, int] = {}
    for name in Mapping.objects.order_by().values_list("contact_field", flat=True):
        mapped[name] = mapped.get(name, 0) + 1
    return [
        FieldUse(field, _contacts_with(field), mapped.get(field.name, 0))
        for field in ContactField.objects.all()
    ]


def use_of(field: ContactField) -> FieldUse:
    """What uses one field."""
    return FieldUse(
        field,
        _contacts_with(field),
        Mapping.objects.filter(contact_field=field.name).count(),
        Contribution.objects.filter(field=field.name).exists(),
    )


@transaction.atomic
def delete_field(*, field: ContactField, by: Actor) -> None:
    """Delete a field that nothing uses. Raise ContactFieldInUse for another."""
    locked = ContactField.objects.select_for_update().get(pk=field.pk)
    use = use_of(locked)
    if use.is_used:
        raise ContactFieldInUse(_why(use))
    audit.record(by=by, verb="contact_field.deleted", target=locked.name)
    locked.delete()


def _why(use: FieldUse) -> str:
    reasons = []
    if use.contacts:
        reasons.append(f"{use.contacts:,} contacts have a value")
    if use.mappings:
        reasons.append(f"{use.mappings:,} mappings fill it")
    if not reasons:
        reasons.append("past conversations or edits have a value for it")
    return f"The field “{use.field.name}” is in use: {', '.join(reasons)}. It can’t be deleted."


def _contacts_with(field: ContactField) -> int:
    return Contact.objects.filter(Q(fields__has_key=field.name)).count()

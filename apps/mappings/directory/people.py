"""Contacts that people add and delete."""

from collections.abc import Mapping as Map
from typing import Any

from django.db import transaction

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.contacts.models import Contact, Origin
from apps.core.errors import Example, UserError
from apps.mappings.edits import set_by_hand


class NoIdentity(UserError):
    """Raised for a new contact without a phone number and without an email."""

    code = "contact_without_identity"
    example = Example(
        "A contact needs a phone number or an email.",
        {"phone_number": "A contact needs a phone number or an email."},
    )


@transaction.atomic
def create_contact(*, values: Map[str, Any], by: Actor) -> Contact:
    """Add a contact with these values, as `set_by_hand` takes them.

    Raises NoIdentity, and what `set_by_hand` raises: nothing is stored then.
    """
    if not any(str(values.get(name) or "").strip() for name in ("phone_number", "email")):
        raise NoIdentity(
            "A contact needs a phone number or an email.",
            {"phone_number": "A contact needs a phone number or an email."},
        )
    contact = Contact.objects.create(origin=Origin.MANUAL)
    audit.record(by=by, verb="contact.created", target=contact.public_id)
    return set_by_hand(contact=contact, values=values, by=by)


@transaction.atomic
def delete_contact(*, contact: Contact, by: Actor) -> None:
    """Delete a contact with everything that people entered. Its conversations stay.

    A conversation that arrives later with its number or email creates a new contact.
    """
    locked = Contact.objects.select_for_update().filter(pk=contact.pk).first()
    if locked is None:
        return
    audit.record(by=by, verb="contact.deleted", target=locked.public_id)
    locked.delete()

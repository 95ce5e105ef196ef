"""Merge two contacts."""

from typing import Any

from django.db import OperationalError, connection, transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.contacts.models import Contact, ContactAlias, Origin
from apps.contacts.values import BUILT_IN_TARGETS, Value
from apps.conversations.models import Conversation
from apps.core.database import is_passing
from apps.core.errors import Conflict, Example
from apps.crm import erasure as pushes
from apps.crm import outbox
from apps.crm.outbox import ContactChange

from .marked_contacts import refold
from .models import Contribution, ContributionKind

_IDENTIFIERS = ("phone_number", "email")


class UnableToMerge(Conflict):
    """Raised for contacts that can't be merged."""

    code = "not_mergeable"
    example = Example("A contact can’t be merged into itself.")


def merge(*, contact: Contact, duplicate: Contact, by: Actor) -> Contact:
    """Move everything of the duplicate to the contact, delete the duplicate, return the contact.

    Conversations, edits, and imports move, and all values are folded again. The contact keeps its
    phone number and email. It gets missing ones from the duplicate, and the others as aliases, so
    that conversations that arrive with them find it. Raise UnableToMerge for a contact and itself,
    and for a deleted one.
    """
    if contact.pk == duplicate.pk:
        raise UnableToMerge
    for tries_left in (2, 1, 0):
        try:
            return _merge(contact, duplicate, by)
        except OperationalError as error:  # a deadlock with intake, which locks contacts first
            if not tries_left or connection.in_atomic_block or not is_passing(error):
                raise
    raise AssertionError("unreachable")


def _merge(contact: Contact, duplicate: Contact, by: Actor) -> Contact:
    with transaction.atomic():
        into, gone = _locked(contact, duplicate)
        _prefer_email(into, gone, by)
        moved = Conversation.objects.filter(contact=gone).update(contact=into)
        Contribution.objects.filter(contact=gone).update(contact=into)
        gone.aliases.update(contact=into)
        follows = pushes.move_to(merged=gone.pk, into=into.pk)
        held = gone.values
        # Both are unique: the duplicate goes before its number and email move.
        former = {name: getattr(gone, name) for name in _IDENTIFIERS}
        _merge_provided(into, gone)
        gone_id = gone.public_id
        gone.delete()
        _take_identifiers(into, former)
        refold([into.pk])
        if follows:
            _push_values(into.pk, held)
        audit.record(
            by=by,
            verb="contact.merged",
            target=into.public_id,
            detail={"merged": gone_id, "conversations": moved},
        )
    return Contact.objects.get(pk=into.pk)


def _push_values(contact_id: int, held: dict[str, Value]) -> None:
    """Write pushes of what differs from the values that the duplicate's record in a CRM holds."""
    after = Contact.objects.get(pk=contact_id).values
    outbox.contacts_changed([ContactChange(contact_id, before=held, after=after)])


def _locked(contact: Contact, duplicate: Contact) -> tuple[Contact, Contact]:
    """Lock the conversations of the duplicate, then both contacts, in the order of everyone.

    Raise UnableToMerge where one of them is gone.
    """
    of_it = Conversation.objects.select_for_update(no_key=True).filter(contact=duplicate.pk)
    list(of_it.order_by("pk").values_list("pk"))
    rows = Contact.objects.select_for_update().filter(pk__in=[contact.pk, duplicate.pk])
    by_key = {row.pk: row for row in rows.order_by("pk")}
    if len(by_key) < 2:
        raise UnableToMerge("One of the contacts no longer exists. It was deleted or merged.")
    return by_key[contact.pk], by_key[duplicate.pk]


def _prefer_email(into: Contact, gone: Contact, by: Actor) -> None:
    """Keep the contact's email where the duplicate's contributions would replace it."""
    if into.email and Contribution.objects.of_contact(gone).filter(field="email").exists():
        Contribution.objects.create(
            kind=ContributionKind.MANUAL,
            contact=into,
            field="email",
            value=into.email,
            at=timezone.now(),
            by=by.label,
        )


def _merge_provided(into: Contact, gone: Contact) -> None:
    """Fill the names and the email that conversations brought, where the contact has none."""
    for name in BUILT_IN_TARGETS:
        own = into.provided.get(name, getattr(into, name) or "")
        others = gone.provided.get(name, getattr(gone, name) or "")
        if not own and others:
            into.provided = {**into.provided, name: others}
            if name != "email":
                setattr(into, name, getattr(into, name) or others)
    if into.origin == Origin.CONVERSATION:
        into.origin = gone.origin
    dates = [date for date in (into.edited_at, gone.edited_at) if date]
    into.edited_at = max(dates, default=None)
    into.updated_at = timezone.now()


def _take_identifiers(into: Contact, former: dict[str, Any]) -> None:
    """Save the contact with missing identifiers of the duplicate, and the others as aliases."""
    aliases = []
    for name, value in former.items():
        if value and not getattr(into, name):
            setattr(into, name, value)
        elif value:
            aliases.append(ContactAlias(contact=into, **{name: value}))
    into.save()
    ContactAlias.objects.bulk_create(aliases)

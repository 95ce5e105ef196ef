"""Record the values that people and imports set."""

from collections.abc import Mapping as Map
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.contacts.identifiers import holders_of
from apps.contacts.models import Contact, ContactAlias
from apps.contacts.phone_numbers import normal_number
from apps.contacts.values import Value, read
from apps.core.errors import Conflict, Example, UserError
from apps.core.validation_messages import shown

from . import marks
from .marked_contacts import EMAIL_TAKEN, refold
from .models import Contribution, ContributionKind
from .targets import targets

_NOW: Map[int, datetime] = {}
PHONE = "phone_number"
PHONE_TAKEN = "Another contact has this phone number."


class InvalidContactValues(UserError):
    """Raised for values that don't fit their fields. ``fields`` has a message per field."""

    code = "invalid_contact_values"
    example = Example("“many” is not a number.", {"fields.seats": "“many” is not a number."})


class ContactIsGone(Conflict):
    """Raised for a contact that was deleted or merged into another one in the meantime."""

    code = "contact_is_gone"
    example = Example("This contact no longer exists. It was deleted or merged.")


def set_by_hand(*, contact: Contact, values: Map[str, Any], by: Actor) -> Contact:
    """Set fields of a contact: custom ones by name, names, ``email``, and ``phone_number``.

    None or an empty text empties a field. A value that equals the current one writes nothing.
    Later conversations can replace the values. Return the updated contact. Raise
    InvalidContactValues with a message per field, or ContactIsGone.
    """
    with transaction.atomic():
        locked = Contact.objects.select_for_update().filter(pk=contact.pk).first()
        if locked is None:
            raise ContactIsGone
        readings = _checked(locked, values)
        changed = {n: v for n, v in readings.items() if v != _current(locked, n)}
        if not changed:
            return locked
        _store(locked, changed, by)
        refold([locked.pk])
        audit.record(
            by=by,
            verb="contact.edited",
            target=locked.public_id,
            detail={"fields": sorted(changed)},
        )
    return Contact.objects.get(pk=locked.pk)


def _current(contact: Contact, name: str) -> Value | None:
    return contact.phone_number if name == PHONE else contact.values.get(name)


def _checked(contact: Contact, values: Map[str, Any]) -> dict[str, Value | None]:
    """Return the values as they are stored. Raise InvalidContactValues."""
    known = targets()
    readings: dict[str, Value | None] = {}
    problems = {}
    for name, raw in values.items():
        if name == PHONE:
            readings[name], problem = _phone(raw)
        elif name in known:
            reading = read(known[name].spec, raw)
            readings[name], problem = reading.value, reading.problem
        else:
            problem = f"Unknown contact field {shown(name)}."
        if problem:
            problems[name] = problem
    problems |= _taken(contact, readings, problems)
    if problems:
        raise InvalidContactValues(" ".join(problems.values()), problems)
    return readings


def _phone(raw: object) -> tuple[str | None, str]:
    """Return a phone number in its one form, or a message."""
    text = str(raw or "").strip()
    if not text:
        return None, ""
    number = normal_number(text)
    if not number or len(number) > 60:
        return None, f"{shown(text)} is not a phone number such as +12025550143."
    return number, ""


def _taken(
    contact: Contact, values: Map[str, Value | None], problems: Map[str, str]
) -> dict[str, str]:
    """Return a message for a number or an email of another contact."""
    phone = str(values.get(PHONE) or "") if PHONE not in problems else ""
    email = str(values.get("email") or "") if "email" not in problems else ""
    holders = holders_of(phones=[phone], emails=[email])
    taken = {}
    if holders.by_phone.get(phone, contact.pk) != contact.pk:
        taken[PHONE] = PHONE_TAKEN
    if holders.by_email.get(email, contact.pk) != contact.pk:
        taken["email"] = EMAIL_TAKEN
    return taken


def _store(contact: Contact, changed: Map[str, Value | None], by: Actor) -> None:
    now = timezone.now()
    columns: dict[str, Any] = {"edited_at": now, "updated_at": now}
    if PHONE in changed:
        columns[PHONE] = changed[PHONE]
    try:
        with transaction.atomic():
            Contact.objects.filter(pk=contact.pk).update(**columns)
    except IntegrityError:
        raise InvalidContactValues(PHONE_TAKEN, {PHONE: PHONE_TAKEN}) from None
    Contribution.objects.bulk_create(
        _contribution(contact.pk, name, value, by, kind=ContributionKind.MANUAL, at=now)
        for name, value in changed.items()
        if name != PHONE
    )


def _contribution(
    contact_id: int, name: str, value: Value | None, by: Actor, **of: Any
) -> Contribution:
    return Contribution(contact_id=contact_id, field=name, value=value, by=by.label, **of)


@transaction.atomic
def release_alias(*, alias: ContactAlias, by: Actor) -> None:
    """Take a former phone number or email from a contact. Its conversations and values stay.

    A new conversation with it then makes a contact of its own. Releasing twice does nothing.
    """
    found = ContactAlias.objects.select_for_update().filter(pk=alias.pk).first()
    if found is not None:
        contact = found.contact
        found.delete()
        Contact.objects.filter(pk=contact.pk).update(updated_at=timezone.now())
        audit.record(by=by, verb="contact.alias_released", target=contact.public_id)


def import_values(
    *, rows: Map[int, Map[str, Any]], by: Actor, at: Map[int, datetime] = _NOW
) -> dict[tuple[int, str], str]:
    """Set fields of many contacts from a file: primary key → raw values by name of the field.

    Values that equal the current one write nothing. ``at`` is when a contact's values were true,
    for contacts that don't take the present. Contacts are updated within seconds. Return a message
    for each (contact, field) whose value doesn't fit: it isn't stored.
    """
    known, now = targets(), timezone.now()
    new: list[Contribution] = []
    problems: dict[tuple[int, str], str] = {}
    with transaction.atomic():
        contacts = Contact.objects.filter(pk__in=rows).order_by("pk")
        for contact in contacts:
            for name, raw in rows[contact.pk].items():
                if name not in known:
                    problems[contact.pk, name] = f"Unknown contact field {shown(name)}."
                    continue
                reading = read(known[name].spec, raw)
                if reading.problem:
                    problems[contact.pk, name] = reading.problem
                elif reading.value is not None and reading.value != contact.values.get(name):
                    of = {"kind": ContributionKind.IMPORT, "at": at.get(contact.pk, now)}
                    new.append(_contribution(contact.pk, name, reading.value, by, **of))
        Contribution.objects.bulk_create(new, batch_size=2_000)
        touched = {row.contact_id for row in new if row.contact_id is not None}
        _set_edited(sorted(touched), now)
        marks.mark(touched)
    return problems


def _set_edited(pks: list[int], now: datetime) -> None:
    """Note that an import set values. Rows are locked in one order, as everywhere."""
    rows = Contact.objects.select_for_update(no_key=True).filter(pk__in=pks).order_by("pk")
    list(rows.values_list("pk"))
    Contact.objects.filter(pk__in=pks).update(edited_at=now)

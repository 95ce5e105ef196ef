"""Find contacts by phone number and email, also by their aliases."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from .models import Contact, ContactAlias


@dataclass(frozen=True, slots=True)
class Holders:
    """Contacts by the phone numbers and the emails that lead to them."""

    by_phone: dict[str, int] = field(default_factory=dict)
    by_email: dict[str, int] = field(default_factory=dict)


def holders_of(*, phones: Iterable[str] = (), emails: Iterable[str] = ()) -> Holders:
    """Return the keys of the contacts that have these numbers and emails, by either of them.

    Contacts are read before aliases: a merge that ends in between is seen in one of the two.
    """
    wanted_phones, wanted_emails = set(phones) - {""}, set(emails) - {""}
    found = Holders()
    for model, key in ((Contact, "pk"), (ContactAlias, "contact_id")):
        if wanted_phones:
            rows = model.objects.filter(phone_number__in=wanted_phones)
            found.by_phone.update(rows.values_list("phone_number", key))
        if wanted_emails:
            rows = model.objects.filter(email__in=wanted_emails)
            found.by_email.update(rows.values_list("email", key))
    return found


def holder_of(*, phone_number: str = "", email: str = "") -> Contact | None:
    """Return the contact that has this number, else the one that has this email."""
    found = holders_of(phones=[phone_number], emails=[email])
    pk = found.by_phone.get(phone_number) or found.by_email.get(email)
    return Contact.objects.filter(pk=pk).first() if pk else None

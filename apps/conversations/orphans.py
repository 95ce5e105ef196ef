"""Contacts of which everything comes from conversations: they go with their last one."""

from collections.abc import Iterable

from django.db.models import Exists, OuterRef, Q, QuerySet

from apps.contacts.models import Contact, Origin

from .models import Conversation, ConversationQuerySet

_BY_CONVERSATIONS = Q(origin=Origin.CONVERSATION, edited_at=None)


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

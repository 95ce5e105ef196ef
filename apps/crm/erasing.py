"""Contacts whose conversations were erased."""

from collections.abc import Iterable

from django.db.models import Exists, OuterRef, Q, QuerySet

from apps.contacts.models import Contact
from apps.conversations.models import Conversation
from apps.conversations.querysets import ConversationQuerySet

from .models import Contribution


def without_others(conversations: ConversationQuerySet) -> QuerySet[Contact]:
    """Contacts of whom nothing would be left but these conversations."""
    pks = conversations.order_by().values("pk")
    others = Conversation.objects.filter(contact=OuterRef("pk")).exclude(pk__in=pks)
    said = Contribution.objects.filter(contact=OuterRef("pk"))
    return Contact.objects.filter(
        ~Exists(others),
        ~Exists(said.filter(Q(conversation=None) | ~Q(conversation__in=pks))),
        pk__in=conversations.order_by().exclude(contact=None).values("contact"),
    )


def drop_without_trace(contact_ids: Iterable[int]) -> int:
    """Delete those of these contacts that nothing speaks of any more; how many went.

    A contact stays while another conversation is theirs, or while somebody edited or imported
    them: such a person is known by more than what was erased.
    """
    mine = {"contact": OuterRef("pk")}
    orphans = Contact.objects.filter(
        ~Exists(Conversation.objects.filter(**mine)),
        ~Exists(Contribution.objects.filter(**mine)),
        pk__in=set(contact_ids),
    )
    # Somebody may give one a conversation at this moment: a locked contact is seen to once more.
    locked = list(orphans.select_for_update(skip_locked=True).values_list("pk", flat=True))
    deleted, _ = orphans.filter(pk__in=locked).delete()
    return deleted

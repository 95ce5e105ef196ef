"""Count what an erasure would delete, for its confirmation."""

from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, Q, Sum

from apps.analysis.models import Analysis
from apps.conversations.models import Conversation, ConversationQuerySet
from apps.conversations.orphans import contacts_only_of
from apps.platforms.models import IntakePayload
from apps.platforms.payloads import payloads_of
from apps.webhooks.models import Delivery


@dataclass(frozen=True, slots=True)
class Footprint:
    """Counts of rows. ``waiting`` are the deliveries that have not been sent yet."""

    conversations: int
    messages: int
    analyses: int
    at_work: int
    deliveries: int
    waiting: int
    payloads: int
    contacts: int


def footprint_of(conversations: ConversationQuerySet) -> Footprint:
    """Count the rows that are deleted with these conversations, in a fixed number of queries.

    Rejected payloads without an ID count only for a single conversation: the search is slow.
    """
    rows = conversations.order_by()
    pks = rows.values("pk")
    whole = rows.aggregate(n=Count("pk"), messages=Sum("message_count"))
    work = Analysis.objects.filter(conversation__in=pks).aggregate(
        n=Count("pk"), open=Count("pk", filter=Q(state__in=["pending", "running"]))
    )
    sent = Delivery.objects.filter(event__conversation__in=pks).aggregate(
        n=Count("pk"), open=Count("pk", filter=Q(state="pending"))
    )
    contacts = contacts_only_of(rows)
    return Footprint(
        conversations=whole["n"],
        messages=whole["messages"] or 0,
        analyses=work["n"],
        at_work=work["open"],
        deliveries=sent["n"],
        waiting=sent["open"],
        payloads=_payloads(rows, whole["n"]),
        contacts=contacts.count(),
    )


def _payloads(conversations: ConversationQuerySet, how_many: int) -> int:
    if how_many == 1:
        return payloads_of(list(conversations)).count()
    same = Conversation.objects.filter(
        pk__in=conversations.values("pk"), external_id=OuterRef("external_id")
    )
    refused = Q(Exists(same), conversation=None) & ~Q(external_id="")
    found = IntakePayload.objects.filter(Q(conversation__in=conversations.values("pk")) | refused)
    return found.count()

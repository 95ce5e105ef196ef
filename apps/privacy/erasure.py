"""Erase conversations everywhere they left a trace.

Rows that refer to a conversation are deleted with it. Apps that keep a row without its content, and
those that hold what a foreign key does not find, have a function of their own that is called here.
The ledger keeps IDs and money, the audit log who erased what and why: neither holds content. What
was erased is remembered by a keyed hash (`apps.intake.services`), so that a platform that sends it
once more does not bring it back. Decision 0017 has the reasons.
"""

from collections.abc import Sequence

from django.db import OperationalError, connection, transaction

from apps.accounts import audit, idempotency
from apps.accounts.actors import Actor
from apps.analysis import erasure as analyses
from apps.conversations import exports
from apps.conversations.models import Conversation, ConversationQuerySet
from apps.conversations.orphans import delete_orphans
from apps.core.database import is_passing
from apps.crm import erasure as pushes
from apps.intake.services import remember_erased
from apps.mappings.contributions import forget_conversations
from apps.mappings.marked_contacts import refold
from apps.platforms.payloads import payloads_of
from apps.runs import erasure as run_items
from apps.webhooks import erasure as events

ERASED_VERB = "conversation.erased"
GROUP = 200
"""Conversations per transaction. A group is erased whole, so a second call continues after it."""


def erase(*, conversations: ConversationQuerySet, by: Actor, why: str) -> int:
    """Erase these conversations, each whole or not at all. Return how many were erased.

    ``why`` goes to the audit log ("on its page", "after 30 days"); it must hold no content.
    Each group is one transaction, unless the caller has one open. Rows that another transaction is
    writing are waited for at the end. An analysis in flight ends without a result; its cost still
    reaches the ledger.
    """
    wanted = list(conversations.order_by().values_list("pk", flat=True))
    few = len(wanted) <= GROUP
    gone: set[int] = set()
    for wait in (False, True):
        left = sorted(set(wanted) - gone)
        for start in range(0, len(left), GROUP):
            gone |= _erase_with_retry(left[start : start + GROUP], by, why, wait=wait, each=few)
    return len(gone)


def _erase_with_retry(
    pks: Sequence[int], by: Actor, why: str, *, wait: bool, each: bool
) -> set[int]:
    """Erase one group, again where it deadlocked with a replay.

    A replay locks a payload first and the conversation then, an erasure the other way around.
    """
    for tries_left in (2, 1, 0):
        try:
            return _erase_group(pks, by, why, wait=wait, each=each)
        except OperationalError as error:
            if not tries_left or connection.in_atomic_block or not is_passing(error):
                raise
    raise AssertionError("unreachable")


def _erase_group(pks: Sequence[int], by: Actor, why: str, *, wait: bool, each: bool) -> set[int]:
    """Erase one group in one transaction. Return the primary keys of those that were erased.

    Conversations are locked first, as everywhere. Without ``wait``, locked ones are left out.
    """
    with transaction.atomic():
        rows = list(
            Conversation.objects.select_for_update(skip_locked=not wait)
            .filter(pk__in=pks)
            .order_by("pk")
            .only("public_id", "source", "external_id", "contact_id")
        )
        if not rows:
            return set()
        ids = [row.pk for row in rows]
        exports.forget_files()
        run_items.forget(ids)
        payloads_of(rows).delete()
        idempotency.forget_about([row.public_id for row in rows])
        analyses.delete_of(ids)
        events.delete_of(ids)
        contacts = sorted({row.contact_id for row in rows if row.contact_id})
        touched = forget_conversations(ids)
        Conversation.objects.filter(pk__in=ids).delete()
        delete_orphans(contacts)
        refold(touched, wait=True)
        # Last: a fold writes pushes that hold the values before it.
        pushes.delete_of(ids, contacts)
        remember_erased(rows)
        _write_audit(rows, by, why, each=each)
    return set(ids)


def _write_audit(rows: Sequence[Conversation], by: Actor, why: str, *, each: bool) -> None:
    """Write the audit log: few conversations by ID, so that they can be searched; many counted."""
    detail: dict[str, object] = {"why": why}
    if each:
        targets = [row.public_id for row in rows]
        audit.record_each(by=by, verb=ERASED_VERB, targets=targets, detail=detail)
    else:
        audit.record(by=by, verb=ERASED_VERB, detail=detail | {"conversations": len(rows)})

"""Write the webhook event of new follow-ups."""

from collections.abc import Sequence
from typing import Any

from apps.core.payloads import moment
from apps.webhooks import outbox
from apps.webhooks.models import EventType
from apps.webhooks.outbox import NewEvent, conversation_part

from .models import FollowUp


def emit_added(ids: Sequence[int]) -> None:
    """Write ``follow_up.added`` for these follow-ups, in the transaction that adds them.

    Their conversations must be locked. Where no endpoint listens, this is one query.
    """
    if not ids or not outbox.has_subscribers(EventType.FOLLOW_UP_ADDED):
        return
    rows = FollowUp.objects.filter(pk__in=ids).with_conversations()
    rows = rows.select_related(
        "owner",
        "conversation__agent",
        "conversation__contact",
        "conversation__attributes",
    )
    outbox.write([_event(row) for row in rows.order_by("pk")])


def _event(follow_up: FollowUp) -> NewEvent:
    conversation = follow_up.conversation
    return NewEvent(
        type=EventType.FOLLOW_UP_ADDED,
        payload=added_payload(follow_up),
        agent_id=conversation.agent_id,
        conversation_id=conversation.pk,
    )


def added_payload(follow_up: FollowUp) -> dict[str, Any]:
    """Return the body of ``follow_up.added``, with the keys in docs/webhooks.md's order."""
    conversation = follow_up.conversation
    return {
        "event": EventType.FOLLOW_UP_ADDED.value,
        "conversation_id": conversation.public_id,
        "agent_id": conversation.agent.public_id,
        "timestamp": moment(follow_up.created_at),
        "follow_up": {
            "id": follow_up.public_id,
            "origin": follow_up.origin,
            "reason": follow_up.reason,
            "owner": follow_up.owner.username if follow_up.owner else None,
            "due_at": moment(follow_up.due_at),
            "note": follow_up.note,
            "state": follow_up.state.value,
            "created_by": follow_up.created_by,
        },
        "conversation": conversation_part(conversation),
    }

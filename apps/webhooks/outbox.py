"""The outbox: an event is written in the transaction of the change that it reports, or not at all.

Without an endpoint that subscribes to it, an event costs one query of a tiny table and leaves
nothing. The end of a conversation is announced here. Other apps build the payloads of their own
events, with keys in the order in which they are sent and the same ``conversation`` object.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from apps.conversations.models import Conversation
from apps.conversations.schemas import ContactSchema
from apps.core.payloads import body_of, moment
from apps.core.tasks import wake

from .models import (
    Delivery,
    DeliveryState,
    DisabledCause,
    Event,
    EventType,
    event_id,
)

KEPT_FOR_DISABLED = timedelta(days=30)
"""How long events are noted, as dropped, for an endpoint that was given up: anyone who enables it
again may have them sent. For one that a person switched off nothing is noted."""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event for the endpoints that subscribe to it.

    ``payload`` is the body with its keys in the order in which they are sent. ``agent_id`` (the
    primary key) is the agent that it concerns: None reaches only endpoints of all agents.
    Events of one ``conversation_id`` are delivered in the order in which they are written.
    """

    type: EventType
    payload: dict[str, Any]
    agent_id: int | None = None
    conversation_id: int | None = None


@dataclass(frozen=True, slots=True)
class _Listener:
    endpoint_id: int
    events: frozenset[str]
    agent_id: int | None
    enabled: bool

    def wants(self, event: NewEvent) -> bool:
        return event.type in self.events and self.agent_id in {None, event.agent_id}


def has_subscribers(*types: EventType) -> bool:
    """Return whether an endpoint wants one of these: if not, no payload needs to be built."""
    with connection.cursor() as cursor:  # asked for every conversation that comes in
        cursor.execute(_WANTED, [*_noted(), [str(t) for t in types]])
        return bool(cursor.fetchone()[0])


def write(events: Sequence[NewEvent]) -> int:
    """Store events with a delivery for each subscribed endpoint; return how many were stored.

    Call it inside the transaction of the reported changes, and for a conversation under the lock
    of its row, which gives the events their order. The delivery starts when that commits.
    """
    listeners = _lock_listeners() if events else []
    heard = [(e, to) for e in events if (to := [x for x in listeners if x.wants(e)])]
    if not heard:
        return 0
    rows = Event.objects.bulk_create(
        Event(
            public_id=event_id(),
            type=event.type,
            conversation_id=event.conversation_id,
            payload=body_of(event.payload),
        )
        for event, _ in heard
    )
    Delivery.objects.bulk_create(
        _delivery(row, listener)
        for row, (_, to) in zip(rows, heard, strict=True)
        for listener in to
    )
    if any(listener.enabled for _, to in heard for listener in to):
        wake_deliveries()
    return len(rows)


def wake_deliveries() -> None:
    """Let a worker look for deliveries once the current transaction commits."""
    wake("webhooks.deliver", queue="outbound")


def _delivery(event: Event, listener: _Listener) -> Delivery:
    now = timezone.now()
    return Delivery(
        endpoint_id=listener.endpoint_id,
        event=event,
        conversation_key=event.conversation_id,
        not_before=now,
        state=DeliveryState.PENDING if listener.enabled else DeliveryState.DROPPED,
        finished_at=None if listener.enabled else now,
    )


_WANTED = """
SELECT EXISTS (
    SELECT 1 FROM webhooks_endpoint
    WHERE (disabled_at IS NULL OR disabled_cause = ANY(%s) AND disabled_at > %s)
      AND events && %s::varchar[]
)
"""
_LISTENERS = """
SELECT id, events, agent_id, disabled_at IS NULL FROM webhooks_endpoint
WHERE disabled_at IS NULL OR disabled_cause = ANY(%s) AND disabled_at > %s
ORDER BY id FOR KEY SHARE
"""


def _noted() -> list[Any]:
    """Return the parameters that select enabled endpoints and those that failed recently."""
    causes = [DisabledCause.FAILING.value, DisabledCause.GONE.value]
    return [causes, timezone.now() - KEPT_FOR_DISABLED]


def _lock_listeners() -> list[_Listener]:
    """Lock the endpoints for which events are written, until the commit."""
    with connection.cursor() as cursor:
        cursor.execute(_LISTENERS, _noted())
        return [_Listener(pk, frozenset(events), agent, on) for pk, events, agent, on in cursor]


# Conversations


def announce_ended(conversation_ids: Sequence[int], *, now: datetime) -> None:
    """Write the event ``conversation.ended`` of each; in the transaction in which they ended."""
    if not conversation_ids or not has_subscribers(EventType.CONVERSATION_ENDED):
        return
    ended = Conversation.objects.filter(pk__in=set(conversation_ids)).select_related(
        "agent", "agent_version", "contact", "attributes"
    )
    write([_ended_event(conversation, now) for conversation in ended.order_by("pk")])


def _ended_event(conversation: Conversation, now: datetime) -> NewEvent:
    payload = {
        "event": EventType.CONVERSATION_ENDED.value,
        "conversation_id": conversation.public_id,
        "agent_id": conversation.agent.public_id,
        "timestamp": moment(now),
        "agent_version": conversation.agent_version.number,
        "status": conversation.status,
        "ended_at": moment(conversation.ended_at),
        "disconnection_reason": conversation.disconnection_reason or None,
        "message_count": conversation.message_count,
        "conversation": conversation_part(conversation),
    }
    return NewEvent(EventType.CONVERSATION_ENDED, payload, conversation.agent_id, conversation.pk)


def conversation_part(conversation: Conversation) -> dict[str, Any]:
    """Return the ``conversation`` object of a payload.

    Reads ``contact`` and ``attributes``: select them with the row. Unknown values are null.
    """
    attributes = getattr(conversation, "attributes", None)
    contact = ContactSchema.from_contact(conversation.contact)
    return {
        "external_id": conversation.external_id,
        "source": conversation.source,
        "channel": conversation.channel,
        "started_at": moment(conversation.started_at),
        "duration_ms": conversation.duration_ms,
        "contact": contact.as_dict() if contact else None,
        "metadata": attributes.metadata if attributes else {},
    }

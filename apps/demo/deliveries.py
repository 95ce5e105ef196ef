"""A disabled webhook endpoint of the demo, with the deliveries of its last days.

It is disabled from the start, so that nothing is ever sent to an address that no one owns.
"""

from datetime import datetime, timedelta
from typing import Any

from apps.agents.models import Agent
from apps.analysis.effects import analyzed_payload
from apps.analysis.models import Analysis
from apps.conversations.models import Trigger
from apps.core import cipher, signatures
from apps.core.guarded_client import kept
from apps.core.payloads import body_of
from apps.webhooks.models import (
    Delivery,
    DeliveryState,
    DisabledCause,
    Endpoint,
    Event,
    EventType,
    event_id,
)

from .people import person

URL = "https://crm.larkfield.example/hooks/debrief"
REASON = "This endpoint belongs to the demo. Edit its URL, then enable it."
SHOWN = 24
FAILED_AT = 3
"""The position of the delivery that failed."""


def add_deliveries(agent: Agent, now: datetime) -> None:
    """Add the endpoint, and a delivery for each of the newest results of an agent."""
    by = person("Tobias Renn")
    results = (
        Analysis.objects.filter(
            conversation__agent=agent, trigger=Trigger.IMPORTED, conversation__ended_at__lte=now
        )
        .select_related(
            "config", "agent_version__agent", "conversation__contact", "conversation__attributes"
        )
        .order_by("-conversation__ended_at", "-pk")[:SHOWN]
    )
    rows = list(reversed(results))
    first = rows[0].conversation.ended_at if rows else now
    endpoint = Endpoint.objects.create(
        url=URL,
        events=[EventType.CONVERSATION_ANALYZED, EventType.CONVERSATION_ANALYSIS_FAILED],
        agent=agent,
        secret_encrypted=cipher.encrypt(signatures.new_secret()),
        disabled_at=now,
        disabled_cause=DisabledCause.PERSON,
        disabled_reason=REASON,
        created_by=by.label,
        created_at=(first or now) - timedelta(days=1),
    )
    events = Event.objects.bulk_create(
        Event(
            public_id=event_id(),
            type=EventType.CONVERSATION_ANALYZED,
            conversation=result.conversation,
            payload=body_of(_payload(result)),
            created_at=_at(result, now),
        )
        for result in rows
    )
    Delivery.objects.bulk_create(
        _delivery(endpoint, event, position) for position, event in enumerate(events)
    )


def _payload(result: Analysis) -> dict[str, Any]:
    return analyzed_payload(result, list(result.ordered_output()))


def _at(result: Analysis, now: datetime) -> datetime:
    return min(now, result.conversation.ended_at or now)


def _delivery(endpoint: Endpoint, event: Event, position: int) -> Delivery:
    """Return a delivery that ended: one was tried for a day, the others arrived."""
    failed = position == FAILED_AT
    at = event.created_at + timedelta(seconds=1)
    took = 80 + position * 53 % 240
    status = 500 if failed else 200
    error = "The endpoint returned 500 Internal Server Error." if failed else ""
    last = at + timedelta(hours=23) if failed else at
    return Delivery(
        endpoint=endpoint,
        event=event,
        conversation_key=event.conversation_id,
        state=DeliveryState.FAILED if failed else DeliveryState.DELIVERED,
        not_before=last,
        attempts=12 if failed else 1,
        tries=[{"at": last.isoformat(), "status": status, "error": error, "ms": took}],
        last_status=status,
        last_error=error,
        request=_request(event),
        response=_response(failed=failed),
        duration_ms=took,
        created_at=event.created_at,
        first_attempt_at=at,
        last_attempt_at=last,
        finished_at=last,
    )


def _request(event: Event) -> str:
    headers = {"content-type": "application/json", "webhook-id": event.public_id}
    return kept(headers, event.payload)


def _response(*, failed: bool) -> str:
    body = "Database is in maintenance." if failed else '{"ok": true}'
    return kept({"content-type": "text/plain"}, body)

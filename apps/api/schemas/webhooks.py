"""Webhook endpoints and their deliveries."""

from typing import Annotated, Literal, Self

from pydantic import Field

from apps.core.addresses import URL_LENGTH
from apps.core.schemas import Body, Choice, Count, Schema, Time, eg
from apps.webhooks.models import Delivery, DeliveryState, Endpoint, EventType
from apps.webhooks.services import InvalidEndpoint

from . import examples
from .common import Page

Events = list[Annotated[EventType, Choice]]


class WebhookIn(Body):
    """Where to send what."""

    missing = InvalidEndpoint
    invalid = InvalidEndpoint
    example = {
        "url": "https://example.com/hooks/debrief",
        "events": ["conversation.analyzed", "conversation.analysis_failed"],
        "agent_id": None,
    }

    url: Annotated[
        str, Field(max_length=URL_LENGTH, examples=["https://example.com/hooks/debrief"])
    ]
    events: Annotated[Events, Field(min_length=1)]
    agent_id: str | None = None
    """Only events of this agent; null for all."""


class Webhook(Schema):
    """An endpoint, without its secret."""

    id: Annotated[str, eg(examples.WEBHOOK_ID)]
    url: Annotated[str, eg("https://example.com/hooks/debrief")]
    events: Annotated[list[EventType], eg(["conversation.analyzed"])]
    agent_id: str | None
    state: Annotated[Literal["enabled", "disabled"], eg("enabled")]
    disabled_reason: str | None
    disabled_at: Time | None
    failing_since: Time | None
    """The first failure since its last success; null while deliveries succeed."""
    created_by: Annotated[str, eg("Ada Lovelace")]
    created_at: Annotated[Time, eg("2025-01-10T08:00:00Z")]

    @classmethod
    def from_endpoint(cls, endpoint: Endpoint, **more: str) -> Self:
        """Return an endpoint, loaded with its agent."""
        return cls(
            id=endpoint.public_id,
            url=endpoint.url,
            events=[EventType(event) for event in endpoint.events],
            agent_id=endpoint.agent.public_id if endpoint.agent else None,
            state="enabled" if endpoint.is_enabled else "disabled",
            disabled_reason=endpoint.disabled_reason or None,
            disabled_at=endpoint.disabled_at,
            failing_since=endpoint.failing_since,
            created_by=endpoint.created_by,
            created_at=endpoint.created_at,
            **more,
        )


class NewWebhook(Webhook):
    """A new endpoint. Keep the secret: it isn't shown again."""

    secret: Annotated[str, Field(pattern=r"^whsec_"), eg("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]


class TestIn(Body):
    """Which events to send an example of. Default: each that the endpoint receives."""

    invalid = InvalidEndpoint
    example = {"events": ["conversation.analyzed"]}

    events: Events = []


class Sent(Schema):
    """The queued test deliveries: find them among the deliveries by these ids."""

    event_ids: Annotated[list[str], eg([examples.EVENT_ID])]


class DeliverySchema(Schema):
    """One event on its way to one endpoint, and its last attempt."""

    event_id: Annotated[str, eg(examples.EVENT_ID)]
    """The `webhook-id` of every attempt."""
    event: Annotated[EventType, eg("conversation.analyzed")]
    test: bool
    conversation_id: Annotated[str | None, eg(examples.CONVERSATION_ID)]
    state: Annotated[DeliveryState, eg("delivered")]
    attempts: Annotated[Count, eg(1)]
    status: Annotated[int | None, eg(204)]
    """HTTP status of the last attempt; null where no response arrived."""
    error: str | None
    duration_ms: Annotated[int | None, eg(84)]
    request: Annotated[str | None, eg(f"webhook-id: {examples.EVENT_ID}\n…")]
    """Headers and body of the last attempt, truncated to 20,000 characters."""
    response: Annotated[str | None, eg("Content-Length: 0\n\n")]
    created_at: Annotated[Time, eg("2025-01-18T15:30:04Z")]
    last_attempt_at: Annotated[Time | None, eg("2025-01-18T15:30:04.210Z")]
    next_attempt_at: Time | None
    finished_at: Annotated[Time | None, eg("2025-01-18T15:30:04.210Z")]

    @classmethod
    def from_delivery(cls, delivery: Delivery) -> Self:
        """Return a delivery, loaded with its event and conversation."""
        conversation = delivery.event.conversation
        pending = delivery.state == DeliveryState.PENDING
        return cls(
            event_id=delivery.event.public_id,
            event=EventType(delivery.event.type),
            test=delivery.event.is_test,
            conversation_id=conversation.public_id if conversation else None,
            state=DeliveryState(delivery.state),
            attempts=delivery.attempts,
            status=delivery.last_status,
            error=delivery.last_error or None,
            duration_ms=delivery.duration_ms,
            request=delivery.request or None,
            response=delivery.response or None,
            created_at=delivery.created_at,
            last_attempt_at=delivery.last_attempt_at,
            next_attempt_at=delivery.not_before if pending else None,
            finished_at=delivery.finished_at,
        )


class Webhooks(Page[Webhook]):
    """One page of endpoints."""


class Deliveries(Page[DeliverySchema]):
    """One page of deliveries."""

"""Webhooks out: endpoints and their deliveries."""

from typing import Annotated, Literal

from pydantic import Field

from apps.webhooks.models import DeliveryState, EventType

from .common import Closed, Shape, Time, page_of

WebhookUrl = Annotated[str, Field(max_length=2000, examples=["https://example.com/hooks/debrief"])]


class WebhookIn(Closed):
    """Where to send what."""

    url: WebhookUrl
    events: Annotated[list[EventType], Field(min_length=1)]
    agent_id: str | None = None
    """Only what concerns this agent; null for all."""


class Webhook(Shape):
    """An endpoint, without its secret."""

    id: str
    url: str
    events: list[EventType]
    agent_id: str | None
    state: Literal["enabled", "disabled"]
    disabled_reason: str | None
    disabled_at: Time | None
    failing_since: Time | None
    """The first failure after its last success; null while all is well."""
    created_by: str
    created_at: Time


class NewWebhook(Webhook):
    """An endpoint just made. Keep the secret: it is not shown again."""

    secret: Annotated[str, Field(pattern=r"^whsec_")]


class TestIn(Closed):
    """Which events to send an example of; left out, each that the endpoint wants."""

    events: list[EventType] = []


class Delivery(Shape):
    """One event on its way to one endpoint, and its last try."""

    event_id: str
    """The `webhook-id` of every try."""
    event: EventType
    test: bool
    conversation_id: str | None
    state: DeliveryState
    attempts: Annotated[int, Field(ge=0)]
    status: int | None
    """HTTP status of the last try; null where no answer came."""
    error: str | None
    duration_ms: int | None
    request: str | None
    """Headers and body of the last try, cut at 20,000 characters."""
    response: str | None
    created_at: Time
    last_attempt_at: Time | None
    next_attempt_at: Time | None
    finished_at: Time | None


class Sent(Shape):
    """What was queued: find it among the deliveries by these ids."""

    event_ids: list[str]


Webhooks = page_of(Webhook, "Webhooks")
Deliveries = page_of(Delivery, "Deliveries")

"""Endpoints, events, and deliveries, written straight into their tables."""

from typing import Any

from apps.webhooks.models import Delivery, Endpoint, Event, EventType


def make_endpoint(**values: Any) -> Endpoint:
    defaults: dict[str, Any] = {
        "url": "https://example.com/hook",
        "secret_encrypted": b"ciphertext",
        "events": [EventType.CONVERSATION_ANALYZED],
        "created_by": "tests",
    }
    return Endpoint.objects.create(**defaults | values)


def make_event(**values: Any) -> Event:
    return Event.objects.create(
        **{"type": EventType.BACKFILL_COMPLETED, "payload": '{"event": "x"}', **values}
    )


def make_delivery(**values: Any) -> Delivery:
    parts = {"endpoint": make_endpoint, "event": make_event}
    return Delivery.objects.create(
        **{n: make() for n, make in parts.items() if n not in values}, **values
    )

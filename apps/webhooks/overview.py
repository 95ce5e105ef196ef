"""What the pages and the API show of endpoints and deliveries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count
from django.utils import timezone

from .models import Delivery, DeliveryState, Endpoint
from .services import missed

RECENT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class EndpointLine:
    """An endpoint in the list: its last attempt, and how many deliveries failed recently."""

    endpoint: Endpoint
    last: Delivery | None
    failures: int
    waiting: int
    missed: int


def lines() -> list[EndpointLine]:
    """Return all endpoints, in four queries however many there are."""
    endpoints = list(Endpoint.objects.select_related("agent"))
    ids = [endpoint.pk for endpoint in endpoints]
    recent = timezone.now() - RECENT
    rows = Delivery.objects.filter(endpoint__in=ids)
    failures = _counts(rows.exclude(last_error="").filter(last_attempt_at__gte=recent))
    waiting = _counts(rows.filter(state=DeliveryState.PENDING))
    last = {d.endpoint_id: d for d in _last_tries(ids)}
    return [
        EndpointLine(
            endpoint=endpoint,
            last=last.get(endpoint.pk),
            failures=failures.get(endpoint.pk, 0),
            waiting=waiting.get(endpoint.pk, 0),
            missed=0 if endpoint.is_enabled else missed(endpoint).count(),
        )
        for endpoint in endpoints
    ]


def _counts(rows: Any) -> Mapping[int, int]:
    counted = rows.order_by().values_list("endpoint").annotate(Count("pk"))
    return dict(counted)


def _last_tries(endpoint_ids: Sequence[int]) -> Sequence[Delivery]:
    """Return each endpoint's last attempted delivery, by one step into an index for each."""
    return list(
        Delivery.objects.raw(
            "SELECT d.id, d.endpoint_id, d.state, d.last_status, d.last_attempt_at"
            " FROM unnest(%s::bigint[]) AS e(id) CROSS JOIN LATERAL ("
            " SELECT * FROM webhooks_delivery d WHERE d.endpoint_id = e.id"
            " AND d.last_attempt_at IS NOT NULL ORDER BY d.last_attempt_at DESC LIMIT 1) d",
            [list(endpoint_ids)],
        )
    )


def given_up() -> list[Endpoint]:
    """Return the endpoints that failed until they were disabled, for the banner of admins."""
    return list(Endpoint.objects.given_up().order_by("-disabled_at"))


def deliveries_of(endpoint: Endpoint, *, state: str = "", event: str = "") -> Any:
    """Return the deliveries of an endpoint as its page lists them, with their events."""
    rows = endpoint.deliveries.select_related("event__conversation")
    # What was sent and what came back is long, and only shown of a single one.
    rows = rows.defer("request", "response", "tries", "event__payload")
    if state:
        rows = rows.filter(state=state)
    return rows.filter(event__type=event) if event else rows


def next_try_of(delivery: Delivery, endpoint: Endpoint) -> datetime | None:
    """Return the time of the next attempt, with the endpoint's pause; None if it is final."""
    if delivery.state != DeliveryState.PENDING:
        return None
    return max(delivery.not_before, endpoint.rest_until or delivery.not_before)


@dataclass(frozen=True, slots=True)
class Try:
    """One try of a delivery, as it is stored with it."""

    at: datetime
    status: int | None
    error: str
    ms: int | None


def tries_of(delivery: Delivery) -> list[Try]:
    """Return the stored attempts, the last one first."""
    return [
        Try(datetime.fromisoformat(t["at"]), t["status"], t["error"], t["ms"])
        for t in reversed(delivery.tries)
    ]

"""Claim deliveries that are due.

Deliveries stay in order per conversation and endpoint: one is claimed only when no earlier one of
the same conversation is pending for that endpoint. Conversations don't wait for each other. Each
endpoint has its own limit of requests in flight, so a slow one doesn't hold up the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from apps.core import cipher
from apps.core.signed_requests import Outgoing
from apps.work.backoff import REST_AFTER
from apps.work.queue import EXPIRED, SET_LEASE, LeasedTable

PER_ENDPOINT = 8
"""Requests in flight to one endpoint, in one process."""

DELIVERIES = LeasedTable(
    "webhooks_delivery", seconds=settings.WEBHOOK_TIMEOUT_SECONDS * 2, held_as="pending"
)


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A delivery held by ``token``. ``problem`` says why it can't even be sent."""

    key: int
    endpoint_id: int
    token: UUID
    what: Outgoing
    problem: str = ""


# The room of an endpoint is what its requests in flight leave; one that keeps failing has room
# for one request, by which it is found to be up again.
_CLAIM = f"""
WITH due AS MATERIALIZED (
  SELECT d.id FROM (
    SELECT e.id, CASE WHEN e.consecutive_failures >= %(rest_after)s THEN 1 ELSE %(room)s END
      - coalesce(b.sending, 0) AS room
    FROM webhooks_endpoint e
    LEFT JOIN unnest(%(busy_ids)s::bigint[], %(busy_counts)s::int[]) AS b(id, sending)
      ON b.id = e.id
    WHERE e.disabled_at IS NULL AND (e.rest_until IS NULL OR e.rest_until <= %(now)s)
  ) e CROSS JOIN LATERAL (
    SELECT r.id FROM webhooks_delivery r
    WHERE r.endpoint_id = e.id AND r.state = 'pending' AND r.not_before <= %(now)s
      AND (r.lease_until IS NULL OR {EXPIRED})
      AND (r.conversation_key IS NULL OR NOT EXISTS (
        SELECT 1 FROM webhooks_delivery earlier
        WHERE earlier.endpoint_id = r.endpoint_id AND earlier.state = 'pending'
          AND earlier.conversation_key = r.conversation_key AND earlier.id < r.id))
    ORDER BY r.not_before, r.id LIMIT greatest(e.room, 0) FOR UPDATE OF r SKIP LOCKED
  ) d LIMIT %(limit)s
), taken AS (
  UPDATE webhooks_delivery d SET {SET_LEASE}
  FROM due WHERE d.id = due.id
  RETURNING d.id, d.endpoint_id, d.event_id
)
SELECT t.id, t.endpoint_id, v.public_id, v.payload, e.url, e.secret_encrypted,
  CASE WHEN e.old_secret_until > %(now)s THEN e.old_secret_encrypted END
FROM taken t JOIN webhooks_event v ON v.id = t.event_id
JOIN webhooks_endpoint e ON e.id = t.endpoint_id
ORDER BY t.id
"""


def claim(*, busy: Mapping[int, int], limit: int, now: datetime) -> list[ClaimedDelivery]:
    """Lease up to ``limit`` due deliveries; ``busy`` counts what this process is sending now, by
    endpoint."""
    values = DELIVERIES.values()
    values |= {
        "now": now,
        "busy_ids": list(busy),
        "busy_counts": list(busy.values()),
        "room": PER_ENDPOINT,
        "rest_after": REST_AFTER,
        "limit": limit,
    }
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, values)
        return [_job(row, values["token"]) for row in cursor.fetchall()]


def _job(row: tuple[Any, ...], token: UUID) -> ClaimedDelivery:
    pk, endpoint_id, event_id, body, url, secret, old_secret = row
    secrets: tuple[str, ...] = ()
    problem = ""
    try:
        secrets = tuple(cipher.decrypt(s) for s in (secret, old_secret) if s is not None)
    except cipher.Unreadable as error:
        problem = error.message
    return ClaimedDelivery(pk, endpoint_id, token, Outgoing(url, secrets, event_id, body), problem)


def work_waits(now: datetime) -> bool:
    """Return whether a delivery may be due now. Cheap, and true also for one that still waits."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM webhooks_endpoint e WHERE e.disabled_at IS NULL"
            " AND (e.rest_until IS NULL OR e.rest_until <= %s) AND EXISTS ("
            " SELECT 1 FROM webhooks_delivery d WHERE d.endpoint_id = e.id"
            " AND d.state = 'pending' AND d.not_before <= %s))",
            [now, now],
        )
        return bool(cursor.fetchone()[0])

"""Record how deliveries ended: what becomes of each one, and of its endpoint.

A group is one transaction of a few statements. Endpoints are locked before their deliveries,
here and in the services: no two writers ever wait for each other.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Now

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.core.signed_requests import Reply
from apps.work import backoff
from apps.work.queue import make_due, write_outcomes

from .claims import ClaimedDelivery
from .models import DeliveryState, DisabledCause, Endpoint

TRIES_KEPT = 20
_BY = Actor.system("webhooks")


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """An attempt at a delivery that ended at ``at``."""

    job: ClaimedDelivery
    reply: Reply
    at: datetime

    def without_answer(self) -> "DeliveryOutcome":
        """Return the outcome of the attempt, without a response that can't be stored."""
        reply = Reply(
            status=self.reply.status,
            error=self.reply.error and "The delivery failed, and the response couldn’t be saved.",
            duration_ms=self.reply.duration_ms,
            retry_after=self.reply.retry_after,
            asks_for_rest=self.reply.asks_for_rest,
        )
        return replace(self, reply=reply)


def record(outcomes: Sequence[DeliveryOutcome]) -> None:
    """Record a group of attempts; where one breaks it, record each alone.

    An attempt counts only while its job still holds its lease. Raise OperationalError or
    InterfaceError when the database is away: the caller keeps the outcomes and tries again.
    """
    write_outcomes(outcomes, _write_group, without_answer=DeliveryOutcome.without_answer)


def _write_group(outcomes: Sequence[DeliveryOutcome]) -> None:
    ordered = sorted(outcomes, key=lambda o: o.at)
    with transaction.atomic():
        endpoints = _lock_endpoints({o.job.endpoint_id for o in ordered})
        held = _lock_deliveries(ordered)
        rows = []
        for outcome in ordered:
            row = held.get(outcome.job.key)
            endpoint = endpoints.get(outcome.job.endpoint_id)
            if row is None or endpoint is None:
                continue
            if not row.is_test:
                endpoint.note(outcome)
            rows.append(_settled(row, endpoint, outcome))
        _write_deliveries(rows)
        for endpoint in endpoints.values():
            endpoint.write()


@dataclass(slots=True)
class _EndpointState:
    """An endpoint as it was, and as the group leaves it."""

    endpoint: Endpoint
    health: backoff.Health
    gone: bool = False
    failed_at: datetime | None = None

    def note(self, outcome: DeliveryOutcome) -> None:
        """Count an attempt."""
        reply, at = outcome.reply, outcome.at
        if reply.ok:
            self.health.succeed(at)
            self.failed_at = None
            return
        self.health.fail(at, reply.retry_after if reply.asks_for_rest else None)
        self.failed_at = at
        self.gone = self.gone or reply.gone

    @property
    def cause(self) -> DisabledCause | None:
        """Return why to disable the endpoint; None if it stays enabled or is disabled already."""
        if not self.endpoint.is_enabled:
            return None
        if self.gone:
            return DisabledCause.GONE
        since = self.health.since
        failing = self.failed_at and since and self.failed_at - since >= backoff.DAY
        return DisabledCause.FAILING if failing else None

    def write(self) -> None:
        endpoint, health = self.endpoint, self.health
        if health != backoff.Health.of(endpoint):
            Endpoint.objects.filter(pk=endpoint.pk).update(**health.columns())
        if health.up_since:
            make_due(endpoint.deliveries.filter(state=DeliveryState.PENDING), health.up_since)
        if cause := self.cause:
            assert self.failed_at  # a cause is a failure
            give_up(endpoint, cause, at=self.failed_at)


@dataclass(frozen=True, slots=True)
class _Held:
    """``attempts``: so far in this round, which *Send again* begins anew."""

    attempts: int
    first_attempt_at: datetime | None
    is_test: bool


def _lock_endpoints(ids: set[int]) -> dict[int, _EndpointState]:
    rows = Endpoint.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk")
    return {one.pk: _EndpointState(one, backoff.Health.of(one)) for one in rows}


# The tries of a round are those since its first; more than are kept make no difference.
_HELD = """
SELECT d.id, (SELECT count(*) FROM jsonb_array_elements(d.tries) tried
    WHERE (tried ->> 'at')::timestamptz >= d.first_attempt_at),
  d.first_attempt_at, v.is_test FROM webhooks_delivery d
JOIN unnest(%s::bigint[], %s::uuid[]) AS mine(id, token)
  ON mine.id = d.id AND mine.token = d.lease_token
JOIN webhooks_event v ON v.id = d.event_id
ORDER BY d.id FOR UPDATE OF d
"""


def _lock_deliveries(outcomes: Sequence[DeliveryOutcome]) -> dict[int, _Held]:
    with connection.cursor() as cursor:
        cursor.execute(
            _HELD,
            [[o.job.key for o in outcomes], [o.job.token for o in outcomes]],
        )
        return {row[0]: _Held(*row[1:]) for row in cursor.fetchall()}


def _settled(held: _Held, endpoint: _EndpointState, outcome: DeliveryOutcome) -> dict[str, Any]:
    reply, at = outcome.reply, outcome.at
    first = held.first_attempt_at or at
    state, again = _next(held, first, endpoint, outcome)
    final = state != DeliveryState.PENDING
    return {
        "id": outcome.job.key,
        "state": state,
        "not_before": again or at,
        "status": reply.status,
        "error": reply.error,
        "request": reply.request,
        "response": reply.response,
        "duration": reply.duration_ms,
        "first": first,
        "at": at,
        "finished": at if final else None,
        "tried": {
            "at": at,
            "status": reply.status,
            "error": reply.error,
            "ms": reply.duration_ms,
        },
    }


def _next(
    held: _Held, first: datetime, endpoint: _EndpointState, outcome: DeliveryOutcome
) -> tuple[DeliveryState, datetime | None]:
    """Return the state of a delivery after this attempt, and the time of the next one."""
    reply = outcome.reply
    if reply.ok:
        return DeliveryState.DELIVERED, None
    if reply.gone or held.is_test:
        return DeliveryState.FAILED, None
    again = backoff.next_try(
        attempts=held.attempts + 1, first=first, now=outcome.at, retry_after=reply.retry_after
    )
    if again is None:
        return DeliveryState.FAILED, None
    if not endpoint.endpoint.is_enabled:
        return DeliveryState.DROPPED, None
    return DeliveryState.PENDING, again


_WRITE = """
UPDATE webhooks_delivery d SET
  state = v.state, not_before = v.not_before, attempts = d.attempts + 1, last_status = v.status,
  last_error = v.error, request = v.request, response = v.response, duration_ms = v.duration,
  first_attempt_at = v.first, last_attempt_at = v.at, finished_at = v.finished,
  lease_token = NULL, lease_until = NULL,
  tries = CASE WHEN jsonb_array_length(d.tries) < %s THEN d.tries ELSE d.tries - 0 END || v.tried
FROM jsonb_to_recordset(%s::jsonb) AS v(
  id bigint, state text, not_before timestamptz, status int, error text, request text,
  response text, duration int, first timestamptz, at timestamptz, finished timestamptz,
  tried jsonb)
WHERE d.id = v.id
"""


def _write_deliveries(rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(_WRITE, [TRIES_KEPT, json.dumps(rows, default=str, ensure_ascii=False)])


_SENTENCES = {
    DisabledCause.FAILING: "Disabled after 24 hours of failures.",
    DisabledCause.GONE: "Disabled because the endpoint returned 410 Gone.",
}


def give_up(endpoint: Endpoint, cause: DisabledCause, *, at: datetime) -> None:
    """Disable an endpoint that failed for good, with a notice, and drop its pending deliveries.

    Call it with the endpoint's row locked.
    """
    Endpoint.objects.filter(pk=endpoint.pk).update(
        disabled_at=at, disabled_cause=cause, disabled_reason=_SENTENCES[cause], rest_until=None
    )
    dropped = drop_pending(endpoint, at=at)
    audit.record(
        by=_BY,
        verb="webhook.disabled",
        target=endpoint.public_id,
        detail={"cause": cause.value, "dropped": dropped},
    )


def drop_pending(endpoint: Endpoint, *, at: datetime) -> int:
    """Drop the pending deliveries of a disabled endpoint, but those in flight; return how many."""
    waiting = endpoint.deliveries.filter(state=DeliveryState.PENDING).exclude(lease_until__gt=Now())
    return waiting.update(
        state=DeliveryState.DROPPED, finished_at=at, lease_token=None, lease_until=None
    )


def drop_leftovers(now: datetime) -> int:
    """Drop deliveries written while their endpoint was being disabled; return how many."""
    dropped = 0
    for endpoint in Endpoint.objects.exclude(disabled_at=None).filter(
        deliveries__state=DeliveryState.PENDING
    ):
        dropped += drop_pending(endpoint, at=now)
    return dropped

"""Claim pushes that are due.

A push is made into values here, and not when it is written: the contact's current values are read,
and those that the CRM has by now are left out.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from apps.core import cipher
from apps.work.backoff import REST_AFTER
from apps.work.queue import EXPIRED, SET_LEASE, LeasedTable

from .connectors.base import Account, Activity, WantedChange
from .connectors.registry import CONNECTORS
from .models import CrmConnection, Push, PushKind, PushState

PUSHES = LeasedTable("crm_push", seconds=settings.CRM_LEASE_SECONDS, held_as="pending")


@dataclass(frozen=True, slots=True)
class ClaimedPush:
    """A push held by ``token``. ``is_first`` says that nothing of it was sent before."""

    key: int
    token: UUID
    revision: int
    is_first: bool


@dataclass(frozen=True, slots=True)
class Item:
    """A push with its content. ``values`` is `WantedChange.wanted`, empty for an activity."""

    push: ClaimedPush
    contact_id: int
    change: WantedChange | None = None
    activity: Activity | None = None

    @property
    def key(self) -> int:
        return self.push.key

    @property
    def token(self) -> UUID:
        return self.push.token

    @property
    def values(self) -> Mapping[str, Any]:
        return self.change.wanted if self.change else {}

    @property
    def is_silent(self) -> bool:
        """Return whether there is nothing new to send."""
        return self.change is None and self.activity is None


@dataclass(frozen=True, slots=True)
class Batch:
    """Pushes of one request: a job. ``problem`` says why it can't even be sent."""

    connection_id: int
    kind: str
    account: Account
    items: tuple[Item, ...]
    problem: str = ""

    @property
    def key(self) -> int:
        return self.items[0].key

    @property
    def token(self) -> UUID:
        return self.items[0].token


@dataclass(frozen=True, slots=True)
class Taken:
    """Leased pushes of one connection and kind, those of each request together."""

    connection: CrmConnection
    kind: PushKind
    requests: Sequence[Sequence[ClaimedPush]]


# A claim has pushes of one kind: that of the push that has been due for longest.
_TAKE = f"""
WITH due AS MATERIALIZED (
  SELECT r.id FROM crm_push r
  WHERE r.connection_id = %(connection)s AND r.state = 'pending' AND r.not_before <= %(now)s
    AND (r.lease_until IS NULL OR {EXPIRED}) AND r.kind = %(kind)s
  ORDER BY r.not_before, r.id LIMIT %(limit)s FOR UPDATE OF r SKIP LOCKED
)
UPDATE crm_push p SET {SET_LEASE}, first_attempt_at = coalesce(first_attempt_at, %(now)s)
FROM due WHERE p.id = due.id
RETURNING p.id, p.revision, p.first_attempt_at = %(now)s
"""
_NEXT_KIND = f"""
SELECT r.kind FROM crm_push r
WHERE r.connection_id = %(connection)s AND r.state = 'pending' AND r.not_before <= %(now)s
  AND (r.lease_until IS NULL OR {EXPIRED})
ORDER BY r.not_before, r.id LIMIT 1
"""


def open_connections(now: datetime) -> QuerySet[CrmConnection]:
    """Return the connections that something may be sent to now, and that have a due push."""
    due = Push.objects.filter(
        connection=OuterRef("pk"), state=PushState.PENDING, not_before__lte=now
    )
    rested = Q(rest_until=None) | Q(rest_until__lte=now)
    return CrmConnection.objects.filter(rested, Exists(due), disabled_at=None).order_by("pk")


def take(*, busy: Mapping[int, int], limit: int, now: datetime) -> list[Taken]:
    """Lease due pushes for up to ``limit`` requests; ``busy`` counts the requests that this
    process is sending now, by connection."""
    found: list[Taken] = []
    left = limit
    for crm in open_connections(now):
        connector = CONNECTORS.get(crm.kind)
        if connector is None:
            continue
        resting = crm.consecutive_failures >= REST_AFTER
        room = (1 if resting else connector.in_flight) - busy.get(crm.pk, 0)
        size = 1 if resting else connector.batch_size
        while (requests := min(room, left)) > 0 and (taken := _take(crm, size, requests, now)):
            found.append(taken)
            room -= len(taken.requests)
            left -= len(taken.requests)
    return found


def _take(crm: CrmConnection, size: int, requests: int, now: datetime) -> Taken | None:
    """Lease pushes for up to a number of requests, with up to ``size`` contacts each."""
    values = PUSHES.values() | {"connection": crm.pk, "now": now}
    with connection.cursor() as cursor:
        cursor.execute(_NEXT_KIND, values)
        row = cursor.fetchone()
        if row is None:
            return None
        kind = PushKind(row[0])
        size = size if kind == PushKind.FIELDS else 1
        cursor.execute(_TAKE, values | {"kind": kind.value, "limit": size * requests})
        rows = cursor.fetchall()
    pushes = [ClaimedPush(key, values["token"], *others) for key, *others in rows]
    groups = [pushes[at : at + size] for at in range(0, len(pushes), size)]
    return Taken(crm, kind, groups) if groups else None


def account_of(crm: CrmConnection) -> Account:
    """Return a connection as its connector sees it. Raises cipher.Unreadable."""
    secrets = json.loads(cipher.decrypt(crm.secret_encrypted))
    return Account(
        key=f"{crm.pk}.{crm.updated_at.timestamp()}",
        config=crm.config,
        secrets=secrets,
        create_missing=crm.create_missing,
    )


def unreadable_account(crm: CrmConnection) -> Account:
    """Return a connection whose secrets can't be read."""
    return Account(key=f"{crm.pk}.unreadable", config=crm.config)


def work_waits(now: datetime) -> bool:
    """Return whether a push may be due now. Cheap, and true also for one that is being sent."""
    return open_connections(now).exists()

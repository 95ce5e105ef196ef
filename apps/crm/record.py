"""Record how pushes ended: each of them, the contact's record in the CRM, and the connection.

A group is one transaction of a few statements. Everyone locks in the same order: contacts,
connections, pushes by contact.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.work import backoff
from apps.work.queue import make_due, write_outcomes

from .claims import Batch, Item
from .connectors.base import ConnectorError, ItemResult, Verdict
from .content import activity_digests
from .models import CrmConnection, DisabledCause, PushState
from .values import digest

_BY = Actor.system("crm")
_UNSTORED = "The response couldn’t be saved."


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """A request that ended at ``at``: a result per item, or an error for those without one."""

    job: Batch
    at: datetime
    results: dict[int, ItemResult]
    error: ConnectorError | None = None

    def without_answer(self) -> "BatchOutcome":
        """Return the outcome without texts that can't be stored."""
        bare = {
            place: replace(r, words=r.words and _UNSTORED, sent="", got="")
            for place, r in self.results.items()
        }
        error = self.error and ConnectorError(
            _UNSTORED, stops=self.error.stops, retry_after=self.error.retry_after
        )
        return replace(self, results=bare, error=error)


def record(outcomes: Sequence[BatchOutcome]) -> None:
    """Record a group of requests; where one breaks it, record each alone.

    A result counts only while its push still holds its lease. Raises when the database is away:
    the caller keeps the outcomes and tries again.
    """
    write_outcomes(outcomes, _write_group, without_answer=BatchOutcome.without_answer)


@dataclass(slots=True)
class _Group:
    """The rows that a transaction writes."""

    held: dict[int, "_Held"]
    pushes: list[dict[str, Any]] = field(default_factory=list)
    contacts: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Held:
    revision: int
    attempts: int
    first_attempt_at: datetime


def _write_group(outcomes: Sequence[BatchOutcome]) -> None:
    ordered = sorted(outcomes, key=lambda o: o.at)
    items = [item for outcome in ordered for item in outcome.job.items]
    with transaction.atomic():
        _lock_contacts(items)
        ids = {o.job.connection_id for o in ordered}
        rows = CrmConnection.objects.select_for_update(no_key=True).filter(pk__in=ids)
        connections = {crm.pk: _ConnectionState.of(crm) for crm in rows.order_by("pk")}
        group = _Group(_lock_pushes(items))
        for outcome in ordered:
            if crm := connections.get(outcome.job.connection_id):
                crm.note(outcome)
                _settle(outcome, group)
        _write_contacts(group)
        _write_pushes(group.pushes)
        for crm in connections.values():
            crm.write()


@dataclass(slots=True)
class _ConnectionState:
    """A connection as it was, and as the group leaves it."""

    crm: CrmConnection
    health: backoff.Health
    error: str
    stopped: tuple[datetime, str] | None = None

    @classmethod
    def of(cls, crm: CrmConnection) -> "_ConnectionState":
        return cls(crm, backoff.Health.of(crm), crm.last_error)

    def note(self, outcome: BatchOutcome) -> None:
        """Count a request."""
        error, at = outcome.error, outcome.at
        if error is None:
            self.health.succeed(at)
            self.error = ""
            return
        self.health.fail(at, error.retry_after)
        self.error = error.message
        if error.stops:
            self.stopped = (at, error.message)

    def write(self) -> None:
        crm, health = self.crm, self.health
        CrmConnection.objects.filter(pk=crm.pk).update(**health.columns(), last_error=self.error)
        if health.up_since:
            make_due(crm.pushes.filter(state=PushState.PENDING), health.up_since)
        if self.stopped and crm.is_enabled:
            _stop(crm, *self.stopped)


def _stop(crm: CrmConnection, at: datetime, reason: str) -> None:
    """Disable a connection that only a person can repair. Its pending pushes wait."""
    CrmConnection.objects.filter(pk=crm.pk).update(
        disabled_at=at,
        disabled_cause=DisabledCause.REJECTED,
        disabled_reason=reason,
        rest_until=None,
    )
    audit.record(by=_BY, verb="crm.disabled", target=crm.public_id, detail={"cause": "rejected"})


def _settle(outcome: BatchOutcome, group: _Group) -> None:
    """Decide the state of each push of a request."""
    for place, item in enumerate(outcome.job.items):
        held = group.held.get(item.key)
        if held is None:
            continue
        result = outcome.results.get(place)
        if result is None:
            assert outcome.error is not None
            group.pushes.append(_unsent(item, held, outcome.error, outcome.at))
            continue
        group.pushes.append(_ended(item, held, result, outcome.at))
        _note_contact(group, outcome.job.connection_id, item, result)


def _unsent(item: Item, held: _Held, error: ConnectorError, at: datetime) -> dict[str, Any]:
    """Return the row of a push whose request failed as a whole: it never ends by that."""
    again = backoff.next_try(
        attempts=held.attempts + 1, first=at, now=at, retry_after=error.retry_after
    )
    return _row(
        item, held, at, state=PushState.PENDING, not_before=again or at, first=at,
        message=error.message, status=error.status, request=error.sent, response=error.got,
    )  # fmt: skip


def _ended(item: Item, held: _Held, result: ItemResult, at: datetime) -> dict[str, Any]:
    state, again = _next(item, held, result, at)
    return _row(
        item, held, at, state=state, not_before=again or at, first=held.first_attempt_at,
        message=result.words, status=result.status, request=result.sent, response=result.got,
        activity_id=result.activity_id,
    )  # fmt: skip


def _next(
    item: Item, held: _Held, result: ItemResult, at: datetime
) -> tuple[PushState, datetime | None]:
    """Return the state of a push after this attempt, and the time of the next one."""
    if held.revision != item.push.revision and result.verdict != Verdict.RETRY:
        return PushState.PENDING, at  # a change was added while it was sent
    if result.verdict == Verdict.OK:
        return PushState.SENT, None
    if result.verdict == Verdict.PARKED:
        return PushState.PARKED, None
    again = backoff.next_try(
        attempts=held.attempts + 1,
        first=held.first_attempt_at,
        now=at,
        retry_after=result.retry_after,
    )
    return (PushState.PENDING, again) if again else (PushState.FAILED, None)


def _row(item: Item, held: _Held, at: datetime, **values: Any) -> dict[str, Any]:
    final = values["state"] != PushState.PENDING
    sent: dict[str, Any] = dict(item.values)
    if item.activity and values["state"] == PushState.SENT:
        sent = activity_digests(item.activity)
    return {
        "id": item.key,
        "activity_id": "",
        "at": at,
        "sent": sent,
        "finished": at if final else None,
        **values,
    }


def _note_contact(group: _Group, connection_id: int, item: Item, result: ItemResult) -> None:
    """Note the record's ID, and the values that it holds now."""
    names = result.written
    if names is None:
        names = frozenset(item.values if result.verdict == Verdict.OK else ())
    written = {name: digest(item.values[name]) for name in names & item.values.keys()}
    if not (written or result.remote_id):
        return
    row = group.contacts.setdefault(
        (connection_id, item.contact_id), {"remote_id": "", "last_sent": {}}
    )
    row["remote_id"] = result.remote_id or row["remote_id"]
    row["last_sent"] |= written


def _lock_contacts(items: Sequence[Item]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM contacts_contact WHERE id = ANY(%s) ORDER BY id FOR KEY SHARE",
            [sorted({item.contact_id for item in items})],
        )


_HELD = """
SELECT p.id, p.revision, p.attempts, p.first_attempt_at FROM crm_push p
JOIN unnest(%s::bigint[], %s::uuid[]) AS mine(id, token)
  ON mine.id = p.id AND mine.token = p.lease_token
ORDER BY p.connection_id, p.contact_id, p.id FOR UPDATE OF p
"""


def _lock_pushes(items: Sequence[Item]) -> dict[int, _Held]:
    with connection.cursor() as cursor:
        cursor.execute(_HELD, [[i.key for i in items], [i.token for i in items]])
        return {row[0]: _Held(*row[1:]) for row in cursor.fetchall()}


_WRITE = """
UPDATE crm_push p SET
  state = v.state, not_before = v.not_before, attempts = p.attempts + 1, last_status = v.status,
  message = v.message, request = v.request, response = v.response, sent = v.sent,
  first_attempt_at = v.first, last_attempt_at = v.at, finished_at = v.finished,
  activity_id = CASE WHEN v.activity_id <> '' THEN v.activity_id ELSE p.activity_id END,
  lease_token = NULL, lease_until = NULL
FROM jsonb_to_recordset(%s::jsonb) AS v(
  id bigint, state text, not_before timestamptz, status int, message text, request text,
  response text, sent jsonb, first timestamptz, at timestamptz, finished timestamptz,
  activity_id text)
WHERE p.id = v.id
"""


def _write_pushes(rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(_WRITE, [json.dumps(rows, default=str, ensure_ascii=False)])


_KNOWN = """
INSERT INTO crm_remotecontact AS r (connection_id, contact_id, remote_id, last_sent)
SELECT v.connection_id, v.contact_id, v.remote_id, v.last_sent
FROM jsonb_to_recordset(%s::jsonb) AS v(connection_id bigint, contact_id bigint, remote_id text,
  last_sent jsonb)
ORDER BY v.connection_id, v.contact_id
ON CONFLICT (connection_id, contact_id) DO UPDATE SET last_sent = r.last_sent || excluded.last_sent,
  remote_id = CASE WHEN excluded.remote_id <> '' THEN excluded.remote_id ELSE r.remote_id END
"""
# A conversation whose contact had no record in the CRM can be logged once there is one.
_UNPARK = """
UPDATE crm_push p SET state = 'pending', finished_at = NULL, not_before = now(), attempts = 0
FROM jsonb_to_recordset(%s::jsonb) AS v(connection_id bigint, contact_id bigint, remote_id text)
WHERE p.connection_id = v.connection_id AND p.contact_id = v.contact_id
  AND p.kind = 'activity' AND p.state = 'parked' AND v.remote_id <> ''
  AND NOT EXISTS (SELECT 1 FROM crm_remotecontact r WHERE r.connection_id = v.connection_id
    AND r.contact_id = v.contact_id AND r.remote_id <> '')
"""


def _write_contacts(group: _Group) -> None:
    if not group.contacts:
        return
    rows = [
        {"connection_id": crm, "contact_id": contact, **row}
        for (crm, contact), row in group.contacts.items()
    ]
    text = json.dumps(rows, ensure_ascii=False)
    with connection.cursor() as cursor:
        cursor.execute(_UNPARK, [text])
        cursor.execute(_KNOWN, [text])


_SILENT = """
UPDATE crm_push p SET
  state = CASE WHEN p.revision <> mine.revision THEN 'pending'
    WHEN p.activity_id <> '' THEN 'sent' ELSE 'dropped' END,
  finished_at = CASE WHEN p.revision = mine.revision THEN %s::timestamptz END,
  message = CASE WHEN p.activity_id <> '' THEN p.message ELSE 'Nothing new to send.' END,
  lease_token = NULL, lease_until = NULL
FROM unnest(%s::bigint[], %s::uuid[], %s::int[]) AS mine(id, token, revision)
WHERE p.id = mine.id AND p.lease_token = mine.token
"""


def end_silent(items: Sequence[Item], now: datetime) -> None:
    """End pushes that have nothing new to say."""
    if items:
        with connection.cursor() as cursor:
            cursor.execute(
                _SILENT,
                [
                    now,
                    [i.key for i in items],
                    [i.token for i in items],
                    [i.push.revision for i in items],
                ],
            )

"""Queues of leased rows: what a runner claims, performs, and records in groups.

A lease is a token and a time on the row. A heartbeat moves the time on; a row whose time has
passed belongs to no one, and the next claim takes it with a new token. After a start of the
database no lease counts as expired for one more lease time: it may have expired while the
database was away, and its worker may hold a response that is paid for.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID, uuid4

from django.db import connection
from django.db.models import QuerySet

from apps.core.database import is_passing
from apps.core.log_context import log_context

logger = logging.getLogger(__name__)

#: How long after a start of the database no lease expires, in lease times.
RESTART_GRACE = 1.0
#: A row that was claimed by this many workers that died fails instead of being claimed again.
MAX_ATTEMPTS = 5


class Lease(Protocol):
    """A row that a worker holds: a claimed job."""

    @property
    def key(self) -> int:
        """Return the row's primary key."""

    @property
    def token(self) -> UUID:
        """Return the token of this claim."""


class Outcome(Protocol):
    """How a job ended."""

    @property
    def job(self) -> Lease:
        """Return the job."""


def log_ids_of(job: Lease) -> Mapping[str, str]:
    """Return the IDs that log lines about a job carry: its `log_ids`, where it has some."""
    ids: Mapping[str, str] = getattr(job, "log_ids", {})
    return ids


J = TypeVar("J", bound=Lease)
O = TypeVar("O", bound=Outcome)  # noqa: E741 (the outcome of J)


class Verdict(Enum):
    """What becomes of a job whose outcome is a setback."""

    RECORD = "record"
    HAND_BACK = "hand back"  # its run was paused, and all of it that is unsent goes back, too
    PUT_OFF = "put off"  # it waits, and its lease is given up already


class Queue(ABC, Generic[J, O]):
    """Work of one kind. ``perform`` and ``is_setback`` run on the loop, everything else in threads.

    There is at most one runner per ``name`` in a process. ``table`` holds the leases.
    ``client_class`` makes what `perform` gets as its client; queues with the same class share it.
    ``ordered`` says that recording one job may make another one due: then the queue is looked at
    again after each recording, and nothing is claimed before a slot is free for it.
    """

    name: str
    table: "LeasedTable"
    client_class: Callable[[], Any]
    ordered = False

    @property
    @abstractmethod
    def concurrency(self) -> int:
        """Return how many jobs of the queue a process performs at the same time."""

    @abstractmethod
    def claim(self, limit: int) -> Sequence[J]:
        """Take up to ``limit`` jobs, leased. Check first whether work may be taken at all."""

    @abstractmethod
    async def perform(self, job: J, client: Any, on_send: Callable[[], None]) -> O:
        """Do a job and return its outcome, also for a failure.

        Call ``on_send`` when the request leaves. Until then the job can be withdrawn by
        cancellation, and nothing was spent.
        """

    @abstractmethod
    def record(self, outcomes: Sequence[O]) -> None:
        """Write the outcomes and the costs of a group of jobs, in one transaction."""

    def extend(self, jobs: Sequence[J]) -> None:
        """Extend the leases of jobs that this worker holds."""
        self.table.extend(jobs)

    def hand_back(self, jobs: Sequence[J]) -> None:
        """Give up jobs for which nothing was sent, so that any worker can take them now."""
        self.table.release(jobs)

    def stopped(self, jobs: Sequence[J]) -> Sequence[J]:
        """Return those of the claimed jobs whose run was paused or canceled since."""
        return []

    def abandoned(self, jobs: Sequence[J]) -> Sequence[J]:
        """Return those of the jobs in flight whose outcome no one wants any longer."""
        return []

    def is_setback(self, outcome: O) -> bool:
        """Return whether `judge` is to be asked before this outcome is recorded."""
        return False

    def judge(self, outcome: O) -> Verdict:
        """Pause the run or put the job off, where that helps more than recording a failure."""
        return Verdict.RECORD

    def charge(self, outcome: O) -> None:
        """Record the cost of a job that was handed back or put off."""

    def finished(self) -> None:
        """Close what has nothing left to do, in a transaction of its own."""


def write_outcomes(
    outcomes: Sequence[O],
    write: Callable[[Sequence[O]], None],
    *,
    without_answer: Callable[[O], O],
) -> None:
    """Write a group in the transaction of ``write``; where that fails, write each alone.

    An outcome that can't be stored is written as ``without_answer`` returns it. Raise when the
    database is away: the caller keeps the outcomes and tries again.
    """
    try:
        write(outcomes)
    except Exception as error:  # whatever one of them breaks, the others were paid for
        if is_passing(error):
            raise
        logger.warning("Recording %d jobs failed, trying one by one", len(outcomes))
        for outcome in outcomes:
            with log_context(log_ids_of(outcome.job)):
                _record_one(outcome, write, without_answer)


def _record_one(
    outcome: O, write: Callable[[Sequence[O]], None], without_answer: Callable[[O], O]
) -> None:
    """Try twice: a clash with a writer of the same row is over when it is seen."""
    for _ in range(2):
        try:
            write([outcome])
        except Exception as error:
            if is_passing(error):
                raise
            logger.exception("The outcome of job %d can't be stored", outcome.job.key)
        else:
            return
    write([without_answer(outcome)])


def make_due(rows: QuerySet[Any, Any], now: datetime) -> int:
    """Let rows that wait for a later time be claimed now, but those in flight; return how many."""
    return rows.filter(lease_token=None, not_before__gt=now).update(not_before=now)


@dataclass(frozen=True, slots=True)
class Claimed:
    """Rows leased by one claim; ``exhausted`` are those to fail, by `LeasedTable.give_up`."""

    keys: list[int]
    exhausted: list[int]


@dataclass(frozen=True)
class LeasedTable:
    """A table with ``state``, ``attempts``, ``lease_token`` and ``lease_until``.

    ``seconds`` is how long a lease holds without a heartbeat. ``due`` is a condition on a pending
    row ``r`` that may be taken. ``held_as`` is the state of a leased row.
    """

    name: str
    seconds: float
    due: str = "true"
    held_as: str = "running"

    @property
    def heartbeat_seconds(self) -> float:
        """Return how often a worker extends its leases."""
        return self.seconds / 4

    def values(self) -> dict[str, Any]:
        """Return a new token and the other parameters of `EXPIRED` and `SET_LEASE`."""
        restart = self.seconds * RESTART_GRACE
        return {"token": uuid4(), "lease": self.seconds, "restart": restart}

    def claim(self, *, limit: int, where: str = "true", **values: Any) -> Claimed:
        """Lease up to ``limit`` pending or abandoned rows ``r``, the oldest first."""
        # Materialized: a plan that ran the CTE again for each row would lease more than asked.
        statement = f"""
WITH free AS MATERIALIZED (
  SELECT r.id FROM {self.name} r
  WHERE {where} AND r.state IN ('pending', 'running')
    AND (r.state = 'pending' AND {self.due} OR r.state = 'running' AND {EXPIRED})
  ORDER BY r.id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE {self.name} r SET state = 'running', attempts = r.attempts + 1, {SET_LEASE}
FROM free WHERE r.id = free.id
RETURNING r.id, r.attempts"""
        with connection.cursor() as cursor:
            cursor.execute(statement, {**self.values(), **values, "limit": limit})
            rows = sorted(cursor.fetchall())
        return Claimed(
            keys=[key for key, attempts in rows if attempts <= MAX_ATTEMPTS],
            exhausted=[key for key, attempts in rows if attempts > MAX_ATTEMPTS],
        )

    def give_up(self, keys: Sequence[int]) -> list[int]:
        """Fail claimed rows that stopped every worker; return those that were not done by now.

        The table needs ``error_code``, ``error_message``, ``reserved``, and ``finished_at``, too.
        """
        if not keys:
            return []
        statement = f"""
UPDATE {self.name} SET state = 'failed', error_code = 'internal', error_message = %s,
  lease_until = NULL, reserved = NULL, finished_at = clock_timestamp()
WHERE id = ANY(%s) AND state = 'running' RETURNING id"""
        message = f"Failed after {MAX_ATTEMPTS} attempts because the worker stopped each time."
        with connection.cursor() as cursor:
            cursor.execute(statement, [message, list(keys)])
            return [key for (key,) in cursor.fetchall()]

    def extend(self, leases: Sequence[Lease]) -> None:
        """Extend leases that are still held: the heartbeat.

        A locked row is being recorded or handed back at this moment. It needs no extension, and
        waiting for it could be a deadlock.
        """
        statement = f"""
WITH mine AS MATERIALIZED (
  SELECT r.id FROM {self.name} r JOIN {_LEASES} ON v.id = r.id
  WHERE r.lease_token = v.token AND r.state = '{self.held_as}' FOR UPDATE OF r SKIP LOCKED
)
UPDATE {self.name} r SET lease_until = {_UNTIL} FROM mine WHERE r.id = mine.id"""
        with connection.cursor() as cursor:
            cursor.execute(statement, {**_arrays(leases), "lease": self.seconds})

    def release(self, leases: Sequence[Lease], *, setting: str = "", **values: Any) -> None:
        """Hand back rows for which nothing was sent, with more columns set."""
        # What is held as pending counts an attempt when it is recorded, anything else when claimed.
        uncount = "" if self.held_as == "pending" else ", attempts = greatest(r.attempts - 1, 0)"
        more = f", {setting}" if setting else ""
        statement = f"""
UPDATE {self.name} r SET state = 'pending', lease_token = NULL, lease_until = NULL{uncount}{more}
FROM {_LEASES}
WHERE r.id = v.id AND r.lease_token = v.token AND r.state = '{self.held_as}'"""
        with connection.cursor() as cursor:
            cursor.execute(statement, {**_arrays(leases), **values})

    def put_back(self, keys: Sequence[int]) -> None:
        """Hand back rows that the current transaction claimed."""
        if not keys:
            return
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {self.name} SET state = 'pending', lease_token = NULL, lease_until = NULL,"
                " attempts = greatest(attempts - 1, 0) WHERE id = ANY(%s)",
                [list(keys)],
            )

    def lock(self, leases: Sequence[Lease]) -> dict[int, str]:
        """Lock the rows that still have these tokens; return the state of each by its key.

        A row in a final state was recorded by a transaction whose confirmation was lost.
        """
        statement = f"""
SELECT r.id, r.state FROM {self.name} r JOIN {_LEASES} ON v.id = r.id
WHERE r.lease_token = v.token ORDER BY r.id FOR UPDATE OF r"""
        with connection.cursor() as cursor:
            cursor.execute(statement, _arrays(leases))
            return dict(cursor.fetchall())


_UNTIL = "clock_timestamp() + make_interval(secs => %(lease)s)"
_LEASES = "unnest(%(keys)s::bigint[], %(tokens)s::uuid[]) AS v(id, token)"
#: SQL: set a new lease.
SET_LEASE = f"lease_token = %(token)s, lease_until = {_UNTIL}"
#: SQL: the lease of row ``r`` has expired.
EXPIRED = (
    "r.lease_until < clock_timestamp() AND"
    " pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => %(restart)s)"
)


def _arrays(leases: Iterable[Lease]) -> dict[str, Any]:
    held = list(leases)
    return {"keys": [lease.key for lease in held], "tokens": [lease.token for lease in held]}

"""Lease rows of a table to workers.

A lease is a token and a time on the row. A heartbeat moves the time on; a row whose time has
passed belongs to no one, and the next claim takes it with a new token. After a start of the
database no lease counts as expired for one more lease time: it may have expired while the
database was away, and its worker may hold a response that is paid for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID, uuid4

from django.db import connection

#: How long after a start of the database no lease expires, in lease times.
RESTART_GRACE = 1.0
#: A row that was taken from this many dead workers is not given to another one.
MAX_ATTEMPTS = 5
WORN_OUT = f"Failed after {MAX_ATTEMPTS} attempts because the worker stopped each time."


class Lease(Protocol):
    """A row that a worker holds: a claimed job."""

    @property
    def key(self) -> int:
        """Return the row's primary key."""

    @property
    def token(self) -> UUID:
        """Return the token of this claim."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Rows leased by one claim; those in ``worn_out`` are to fail instead of being given out."""

    keys: list[int]
    worn_out: list[int]


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

    def take(self, *, limit: int, where: str = "true", **values: Any) -> Taken:
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
        return Taken(
            keys=[key for key, attempts in rows if attempts <= MAX_ATTEMPTS],
            worn_out=[key for key, attempts in rows if attempts > MAX_ATTEMPTS],
        )

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
        # A delivery counts attempts when they are recorded, everything else when it is taken.
        uncount = "" if self.held_as == "pending" else ", attempts = greatest(r.attempts - 1, 0)"
        more = f", {setting}" if setting else ""
        statement = f"""
UPDATE {self.name} r SET state = 'pending', lease_token = NULL, lease_until = NULL{uncount}{more}
FROM {_LEASES}
WHERE r.id = v.id AND r.lease_token = v.token AND r.state = '{self.held_as}'"""
        with connection.cursor() as cursor:
            cursor.execute(statement, {**_arrays(leases), **values})

    def put_back(self, keys: Sequence[int]) -> None:
        """Hand back rows that the current transaction took."""
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

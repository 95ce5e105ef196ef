"""When a request is retried, and how long a failing receiver is left alone. No I/O."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, Self

DAY = timedelta(days=1)
"""How long a request is retried."""

_DELAYS = [5, 30, 120, 600, 1800, 3600, 7200]
_LONGEST = 4 * 3600
_JITTER = 0.1

REST_AFTER = 5
"""After this many failures in a row a receiver rests; then one request at a time is sent."""

_REST_SHORTEST = timedelta(seconds=5)
_REST_LONGEST = timedelta(minutes=10)


def next_try(
    *, attempts: int, first: datetime, now: datetime, retry_after: timedelta | None = None
) -> datetime | None:
    """Return when to try again after ``attempts`` failures; None after a day of attempts.

    5 s, 30 s, 2 min, 10 min, 30 min, 1 h, 2 h, then every 4 h, each a tenth more or less; the last
    try is a day after the first. A receiver that says when (``Retry-After``) is not asked before.
    """
    end = first + DAY
    if now >= end:
        return None
    seconds = _DELAYS[attempts - 1] if attempts <= len(_DELAYS) else _LONGEST
    wait = _jittered(timedelta(seconds=seconds))
    return min(now + max(wait, retry_after or wait), end)


def rest_until(
    *, failures: int, since: datetime, now: datetime, retry_after: timedelta | None = None
) -> datetime | None:
    """Return until when a receiver with this many failures in a row is left alone.

    A quarter of the time for which it has been failing, from 5 s to 10 min: its backlog waits
    instead of being thrown at it, and goes out soon after it is up again.
    """
    if failures < REST_AFTER and retry_after is None:
        return None
    rest = timedelta(0)
    if failures >= REST_AFTER:
        rest = _jittered(min(max((now - since) / 4, _REST_SHORTEST), _REST_LONGEST))
    return now + max(rest, min(retry_after or rest, DAY))


class Receiver(Protocol):
    """A row that keeps how its receiver has been failing."""

    consecutive_failures: int
    failing_since: datetime | None
    rest_until: datetime | None


@dataclass(slots=True)
class Health:
    """A receiver's failures in a row, and until when it rests."""

    failures: int
    since: datetime | None
    rest: datetime | None
    recovered_at: datetime | None = None

    @classmethod
    def of(cls, receiver: Receiver) -> Self:
        return cls(receiver.consecutive_failures, receiver.failing_since, receiver.rest_until)

    def succeed(self, at: datetime) -> None:
        """Count a request that the receiver took."""
        if self.failures >= REST_AFTER:
            self.recovered_at = at
        self.failures, self.since, self.rest = 0, None, None

    def fail(self, at: datetime, retry_after: timedelta | None) -> None:
        """Count a failure. ``retry_after``: how long the receiver asked to be left alone."""
        self.failures += 1
        self.since = self.since or at
        rest = rest_until(failures=self.failures, since=self.since, now=at, retry_after=retry_after)
        self.rest = rest or self.rest

    @property
    def up_since(self) -> datetime | None:
        """Return since when a receiver that had been resting is up; None where it isn't."""
        return self.recovered_at if self.since is None else None

    def columns(self) -> dict[str, Any]:
        """Return the columns of the receiver's row."""
        return {
            "consecutive_failures": self.failures,
            "failing_since": self.since,
            "rest_until": self.rest,
        }


def _jittered(wait: timedelta) -> timedelta:
    return wait * random.uniform(1 - _JITTER, 1 + _JITTER)

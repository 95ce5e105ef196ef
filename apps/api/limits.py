"""How many requests a key may make in a minute, counted in the broker for all processes.

A door belongs to a class, because a platform that hands in a call a second must not use up what
an operator's script needs to read. The minute is that of the clock: one round trip to the broker
counts a request and returns the rest. While the broker is away nobody is refused: a limit
protects from mistakes, and is not worth an outage.
"""

import logging
import time
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

from django.conf import settings
from limits.errors import StorageError
from limits.storage import RedisStorage

from apps.core.breaker import Breaker
from apps.core.errors import Example, UserError

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 60

READ, CHANGE, INTAKE, BULK = "read", "change", "intake", "bulk"
"""Classes of doors: reading; changes and paid work; conversations one by one; bulk bodies."""

broker_away = Breaker()


class RateLimited(UserError):
    """Raised where the class of an operation is used up for this minute."""

    code = "rate_limited"
    status = 429
    example = Example(
        "Rate limit exceeded: 600 requests per minute for this key. Try again in 17 seconds."
    )


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a caller has left in this minute."""

    limit: int
    remaining: int
    reset_seconds: int

    def headers(self) -> dict[str, str]:
        """As response headers."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset_seconds),
        }


def count(kind: str, who: str, *, now: float | None = None) -> tuple[Allowance | None, bool]:
    """Count one request of this class by this caller; return the rest and whether it may pass.

    None where the class has no limit or the broker is away. ``now`` is seconds since 1970.
    """
    limit = settings.API_RATE_LIMITS.get(kind, 0)
    if not limit:
        return None, True
    moment = time.time() if now is None else now
    window, passed = divmod(moment, WINDOW_SECONDS)
    reset = ceil(WINDOW_SECONDS - passed)
    used = _hit(f"{kind}/{who}/{window:.0f}", reset + 1)
    if used is None:
        return None, True
    return Allowance(limit, max(0, limit - used), reset), used <= limit


def refusal_of(allowance: Allowance) -> RateLimited:
    """Return the error for a caller who has used up a class."""
    unit = "second" if allowance.reset_seconds == 1 else "seconds"
    requests = "request" if allowance.limit == 1 else "requests"
    return RateLimited(
        f"Rate limit exceeded: {allowance.limit} {requests} per minute for this key. "
        f"Try again in {allowance.reset_seconds} {unit}."
    )


def _hit(key: str, seconds: int) -> int | None:
    """How often this was counted, this time included; None while the broker is away."""
    if broker_away.is_open:
        return None
    try:
        return _storage(settings.REDIS_URL).incr(key, seconds)
    except StorageError as error:
        broker_away.trip()
        logger.warning("Broker unavailable; API requests are not counted: %s", error)
        return None


@lru_cache(maxsize=2)
def _storage(url: str) -> RedisStorage:
    url = url.replace("unix://", "redis+unix://", 1) if url.startswith("unix://") else url
    return RedisStorage(
        url,
        wrap_exceptions=True,
        key_prefix="debrief:api",
        socket_timeout=1.0,
        socket_connect_timeout=0.5,
    )

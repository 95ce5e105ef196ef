"""API keys, and how many requests per minute they may make: counted in the broker, for all.

An API route belongs to a class: a platform that sends a call per second must not use up the
requests of an operator's script that reads. The minute is that of the clock: one round trip to the
broker counts a request and returns the rest. While the broker is away no request is rejected: a
limit protects from mistakes, and is not worth an outage.
"""

import logging
import time
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

from django.conf import settings
from django.http import HttpRequest
from limits.errors import StorageError
from limits.storage import RedisStorage

from apps.accounts.actors import Actor
from apps.accounts.api_auth import KeyAuth
from apps.core.breaker import Breaker
from apps.core.errors import Example, UserError

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 60

READ, CHANGE, INTAKE, BULK = "read", "change", "intake", "bulk"
"""Classes of routes: reading; changes and paid work; conversations one by one; bulk bodies."""
#: Routes that ingest conversations; every other write is a change.
_INTAKE_ROUTES = {
    "api/conversations": INTAKE,
    "api/conversations/bulk": BULK,
    "api/conversations/<conversation_id>/messages": INTAKE,
    "api/conversations/<conversation_id>/close": INTAKE,
}

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


class ApiKey(KeyAuth):
    """`Authorization: Bearer dbk_…`, counted against the limits of the key."""

    def authenticate(self, request: HttpRequest, token: str) -> Actor | None:
        """Return the actor behind the key; None becomes a 401. Raises RateLimited."""
        actor = super().authenticate(request, token)
        if actor is not None:
            charge(request, _class_of(request), actor.label)
        return actor


def _class_of(request: HttpRequest) -> str:
    if request.method in {"GET", "HEAD"}:
        return READ
    route = request.resolver_match.route if request.resolver_match else ""
    return _INTAKE_ROUTES.get(route, CHANGE)


def charge(request: HttpRequest, kind: str, who: str) -> None:
    """Count one request of this class by this caller; its response then reports the remainder.

    Raises RateLimited. Nothing is counted if the class has no limit or the broker is unavailable.
    """
    limit = settings.API_RATE_LIMITS.get(kind, 0)
    if not limit:
        return
    window, passed = divmod(time.time(), WINDOW_SECONDS)
    reset = ceil(WINDOW_SECONDS - passed)
    used = _hit(f"{kind}/{who}/{window:.0f}", reset + 1)
    if used is None:
        return
    allowance = Allowance(limit, max(0, limit - used), reset)
    request.allowance = allowance  # type: ignore[attr-defined]  # read by the middleware
    if used > limit:
        raise _refusal_of(allowance)


def _refusal_of(allowance: Allowance) -> RateLimited:
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

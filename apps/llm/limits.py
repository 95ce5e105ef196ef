"""Not more than a provider takes: requests in flight, requests and tokens per minute.

A model without limits, and whose provider never says 429, costs nothing here.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable

from django.conf import settings
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError

from apps.llm.specs import ModelSpec, Priority
from apps.llm.throttle import Throttle

BACKFILL_SHARE = 0.8
"""What of a limit backfills may use, so that reruns need not wait."""

FIRST_IN_FLIGHT = 8
"""Requests of backfills in flight before the first success, and how many count as no limit."""
MOST_IN_FLIGHT = 1_000_000

GROWTH_SECONDS = 1.0
"""A provider that says no 429 for this long is sent as many requests again.

A 429 comes at once, a success with a slow model after 20 seconds: waiting for it left half of the
places empty for the first wave.
"""
MOST_UNANSWERED = 32
"""As many are sent to a provider that doesn't respond at all."""

LOCAL_SHARES = 2
"""Number of parts of a shared limit while the broker is unavailable: one per process."""

_BROKER_PAUSE = 5.0
_POLL = 0.25


#: By how many seconds a request may come before its turn at a model that is slowed down.
_AHEAD = {Priority.INTERACTIVE: 10.0, Priority.LIVE: 0.5, Priority.BACKFILL: 0.0}


def backfill_share(limit: int) -> int:
    """Return what backfills may use of a limit: at least one of it."""
    return max(1, int(limit * BACKFILL_SHARE))


class Gate:
    """Requests in flight to one model from this process.

    Backfills begin with a few and each success lets one more in, so that a provider with a low
    limit meets a handful of requests at first and not a whole run. Slow models get more after
    ``growth`` seconds without a response, but not between a 429 and the next success.
    """

    def __init__(self, maximum: int | None, growth: float = GROWTH_SECONDS) -> None:
        self.maximum = maximum
        self._growth = growth
        self._timer: asyncio.TimerHandle | None = None
        self._was_refused = False
        self.opened = FIRST_IN_FLIGHT
        self.in_flight = 0
        self._waiting: dict[Priority, deque[asyncio.Future[None]]] = {
            priority: deque() for priority in Priority
        }

    def _has_room(self, priority: Priority) -> bool:
        if priority is not Priority.BACKFILL:
            return self.maximum is None or self.in_flight < self.maximum
        share = self.opened if self.maximum is None else backfill_share(self.maximum)
        return self.in_flight < min(share, self.opened)

    async def enter(self, priority: Priority) -> None:
        """Take a place, waiting for one if need be."""
        if not self._waiting[priority] and self._has_room(priority):
            self.in_flight += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[priority].append(place)
        self._grow_later()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Pass the place on to the next waiting request, people first."""
        self.in_flight -= 1
        self._let_in()

    def _let_in(self) -> None:
        for priority, places in self._waiting.items():
            while places and self._has_room(priority):
                place = places.popleft()
                if not place.done():
                    self.in_flight += 1
                    place.set_result(None)

    def answered(self) -> None:
        """Note that a request succeeded."""
        self._was_refused = False
        self.opened = min(self.opened + 1, MOST_IN_FLIGHT)
        self._let_in()

    def refused(self) -> None:
        """Note that the provider said 429: the next burst begins with a few again."""
        self._was_refused = True
        self.opened = FIRST_IN_FLIGHT

    def _grow_later(self) -> None:
        if self._timer is None and self._waiting[Priority.BACKFILL]:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._growth, self._grow)

    def _grow(self) -> None:
        self._timer = None
        if not self._was_refused and self.opened <= self.in_flight < MOST_UNANSWERED:
            self.opened = min(self.opened + FIRST_IN_FLIGHT, MOST_UNANSWERED)
            self._let_in()
        self._grow_later()


class Rates:
    """Requests and tokens per minute of a model, counted together by all processes.

    While the broker cannot be reached, each process keeps to its share of the limit automatically.
    """

    def __init__(
        self,
        broker_url: str | None = None,
        *,
        shares: int = LOCAL_SHARES,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._storage = _storage(settings.REDIS_URL if broker_url is None else broker_url)
        self._shared = SlidingWindowCounterRateLimiter(self._storage)
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shares = shares
        self._sleep = sleep
        self._broker_gone_until = 0.0
        self._turns: dict[tuple[str, bool], asyncio.Lock] = {}

    async def reserve(self, spec: ModelSpec, priority: Priority, tokens: int) -> None:
        """Wait until one request of this many tokens fits into the minute's limits."""
        if spec.requests_per_minute is None and spec.tokens_per_minute is None:
            return
        backfill = priority is Priority.BACKFILL
        # One waiter at a time asks the broker; the others stand in line behind it.
        async with self._turns.setdefault((spec.key, backfill), asyncio.Lock()):
            for what, limit, cost in (
                ("tokens", spec.tokens_per_minute, tokens),
                ("requests", spec.requests_per_minute, 1),
            ):
                if limit is None:
                    continue
                if backfill:
                    share = backfill_share(limit)
                    await self._take(f"{what}:backfill:{spec.key}", share, cost)
                await self._take(f"{what}:{spec.key}", limit, cost)

    async def _take(self, name: str, limit: int, cost: int) -> None:
        while not await self._hit(name, limit, cost):
            await self._sleep(_POLL * (0.5 + random.random()))

    async def _hit(self, name: str, limit: int, cost: int) -> bool:
        if time.monotonic() >= self._broker_gone_until:
            try:
                return await self._shared.hit(
                    RateLimitItemPerMinute(limit), name, cost=min(cost, limit)
                )
            except StorageError:
                self._broker_gone_until = time.monotonic() + _BROKER_PAUSE
        share = max(1, limit // self._shares)
        return await self._local.hit(RateLimitItemPerMinute(share), name, cost=min(cost, share))

    async def aclose(self) -> None:
        """Close the connections to the broker."""
        bridge = self._storage.bridge
        if isinstance(bridge, RedispyBridge):
            await bridge.storage.aclose()


def _storage(url: str) -> RedisStorage:
    url = url.replace("unix://", "redis+unix://", 1) if url.startswith("unix://") else url
    return RedisStorage(
        f"async+{url}",
        wrap_exceptions=True,
        implementation="redispy",
        key_prefix="debrief:llm",
        socket_timeout=2.0,
        socket_connect_timeout=1.0,
    )


class Limits:
    """Gates, rates and throttles of all models that one event loop speaks to."""

    def __init__(self, rates: Rates | None = None, throttle: Throttle | None = None) -> None:
        self._gates: dict[str, Gate] = {}
        self._rates = rates
        self._throttle = throttle or Throttle()

    def gate(self, spec: ModelSpec) -> Gate:
        """Return the gate of a model; a changed limit takes effect with the next request."""
        gate = self._gates.get(spec.key)
        if gate is None:
            gate = self._gates[spec.key] = Gate(spec.max_concurrency)
        gate.maximum = spec.max_concurrency
        return gate

    async def reserve(self, spec: ModelSpec, priority: Priority, tokens: int) -> None:
        """Wait for the model's requests and tokens per minute, where it has such limits."""
        if spec.requests_per_minute is None and spec.tokens_per_minute is None:
            return
        if self._rates is None:
            self._rates = Rates()
        await self._rates.reserve(spec, priority, tokens)

    async def turn(
        self, spec: ModelSpec, priority: Priority, keep_waiting: Callable[[], bool]
    ) -> bool:
        """Wait for a turn at a model that was rate limited recently; False where the wait ended."""
        return await self._throttle.enter(spec.key, _AHEAD[priority], keep_waiting)

    def answered(self, spec: ModelSpec) -> None:
        """Note that a request got through."""
        self.gate(spec).answered()
        self._throttle.answered(spec.key)

    async def refused(
        self, spec: ModelSpec, *, seconds_ago: float, retry_after: float | None
    ) -> None:
        """Slow down: a request sent this many seconds ago was rate limited."""
        self.gate(spec).refused()
        await self._throttle.refused(spec.key, seconds_ago=seconds_ago, retry_after=retry_after)

    async def aclose(self) -> None:
        await self._throttle.aclose()
        if self._rates is not None:
            await self._rates.aclose()

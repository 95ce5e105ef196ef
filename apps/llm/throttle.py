"""How many requests per second a model's provider bears, learned from its 429s.

Additive increase, multiplicative decrease, one rate per model for all workers: it is stored in the
broker and changed by compare-and-set. Nothing is stored, and no one waits, until a provider says
429.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace

import redis.asyncio
from django.conf import settings
from redis.exceptions import RedisError

from apps.core.breaker import Breaker

CUT = 0.7
"""What a rejection leaves of the rate at least; more where few requests are rejected."""
FIRST, SLOWEST = 1.0, 0.05
"""Lowest rate from which the first reduction starts, in requests per second. Always tried."""
FREE = 1_000.0
"""A rate above this isn't a limit."""
LONGEST_HOLD = 60.0
"""Longest time for which a ``Retry-After`` stops everybody. A longer one pauses runs instead."""
FIRST_CALM, SHORTEST_CALM, LONGEST_CALM = 5.0, 1.0, 20.0
"""Seconds in which the increase regains a reduction; longer where the ceiling is known."""
LEAST_GROWTH = 0.1
"""Lowest increase of a rate per second, in requests per second, after any reductions: some
providers reject at any rate. Less below three requests per second."""
TOLERATED = 0.06
"""The share of rejected requests that cuts nothing: some providers reject a few at any rate."""
FORGET_SECONDS = 30.0
"""A rate that no one used for this long is forgotten."""

_LONGEST_STEP = 2.0
_SEEN_SECONDS = 2.0
_LOOK_SECONDS = 1.0
_NAP = 0.5
_TICK = 1e-3
_WEIGHT = 0.02


@dataclass(frozen=True, slots=True)
class Rate:
    """What a provider bears. Times are seconds of the clock that all workers share.

    ``allowed`` is in requests per second as of ``at``; ``ceiling`` is where the provider rejected;
    ``calm`` says how slowly the rate grows back to it; ``share`` is the share of rejected requests
    among the last fifty or so, held high at first, while the rate is being found.
    """

    allowed: float
    ceiling: float
    calm: float
    at: float
    cut_at: float
    next_at: float
    hold_until: float = 0.0
    share: float = 0.2


def grown(rate: Rate, now: float) -> Rate:
    """Return the rate after the increase since it was used last; a rest does not count as use."""
    step = min(max(now - rate.at, 0.0), max(_LONGEST_STEP, 1 / rate.allowed))
    slow = min(LEAST_GROWTH, 0.03 * rate.ceiling)
    allowed = rate.allowed + max((1 - CUT) * rate.ceiling / rate.calm, slow) * step
    if allowed <= 1.3 * rate.ceiling:
        return replace(rate, allowed=allowed, at=now)
    # The provider bears clearly more than it did: look for its limit faster.
    calm = max(rate.calm / 2, SHORTEST_CALM)
    return replace(rate, allowed=allowed, at=now, ceiling=allowed, calm=calm)


def admit(rate: Rate, now: float, ahead: float) -> tuple[Rate, float]:
    """Return the rate with one request taken, or as it is and the seconds to wait.

    ``ahead``: seconds by which a request may come before its turn, because a person waits for it.
    """
    if rate.hold_until - now > _TICK:
        return rate, rate.hold_until - now
    if (early := rate.next_at - now - ahead) > _TICK:
        return rate, early
    rate = grown(rate, now)
    next_at = max(rate.next_at, now) + 1 / rate.allowed
    return replace(rate, next_at=next_at, share=rate.share * (1 - _WEIGHT)), 0.0


def refuse(
    rate: Rate | None, now: float, *, sent_at: float, retry_after: float | None, seen: float
) -> Rate:
    """Return the rate after a 429 for a request that left at ``sent_at``.

    It is reduced once for all requests that were in flight together, and not at all for a few
    among many. ``seen`` is the recent throughput in requests per second: the first reduction
    starts from it.
    """
    hold = now + min(retry_after + 0.1, LONGEST_HOLD) if retry_after else 0.0
    share = 0.2 if rate is None else rate.share + _WEIGHT
    if rate is not None and (sent_at <= rate.cut_at or share < TOLERATED):
        return replace(rate, hold_until=max(rate.hold_until, hold), share=share)
    base = max(seen, FIRST) if rate is None else grown(rate, now).allowed
    calm = FIRST_CALM
    if rate is not None:
        met_again = base >= 0.8 * rate.ceiling
        calm = min(rate.calm * 2, LONGEST_CALM) if met_again else rate.calm
    allowed = max(base * max(CUT, (1 - share) * 0.95), SLOWEST)
    return Rate(
        allowed=allowed,
        ceiling=base,
        calm=calm,
        at=now,
        cut_at=now,
        next_at=now + 1 / allowed,
        hold_until=max(rate.hold_until if rate else 0.0, hold),
        share=share,
    )


_READ = "local t = redis.call('TIME') return {t[1], t[2], redis.call('GET', KEYS[1]) or ''}"
_WRITE = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""


class Broker:
    """Rates in the broker, by its own clock; in this process while the broker is away."""

    def __init__(self, url: str | None = None) -> None:
        self._redis = redis.asyncio.Redis.from_url(
            settings.REDIS_URL if url is None else url,
            socket_timeout=2.0,
            socket_connect_timeout=1.0,
            decode_responses=True,
        )
        self._here = Memory()
        self._away = Breaker()

    async def read(self, key: str) -> tuple[float, str]:
        """Return the time and the stored text, empty where there is none."""
        if not self._away.is_open:
            try:
                answer = await self._redis.eval(_READ, 1, f"debrief:llm:rate:{key}")
                return int(answer[0]) + int(answer[1]) / 1e6, str(answer[2])
            except (RedisError, OSError):
                self._away.trip()
        return await self._here.read(key)

    async def swap(self, key: str, before: str, after: str) -> bool:
        """Store a text where the stored one is still ``before``; whether it was."""
        if not self._away.is_open:
            try:
                kept = str(round(FORGET_SECONDS * 1000))
                name = f"debrief:llm:rate:{key}"
                return bool(await self._redis.eval(_WRITE, 1, name, before, after, kept))
            except (RedisError, OSError):
                self._away.trip()
        return await self._here.swap(key, before, after)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


class Memory:
    """Rates of this process alone: while the broker is away, and in tests with their own clock."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._texts: dict[str, tuple[str, float]] = {}

    async def read(self, key: str) -> tuple[float, str]:
        """Return the time and the stored text, empty where there is none."""
        now = self._now()
        text, until = self._texts.get(key, ("", 0.0))
        return now, text if until > now else ""

    async def swap(self, key: str, before: str, after: str) -> bool:
        """Store a text where the stored one is still ``before``; whether it was."""
        now, found = await self.read(key)
        if found != before:
            return False
        self._texts[key] = (after, now + FORGET_SECONDS)
        return True

    async def aclose(self) -> None:
        """Forget everything."""
        self._texts.clear()


@dataclass(slots=True)
class _Local:
    """What this process knows of one model: is it limited, and what got through recently."""

    limited: bool = False
    looked_at: float = -math.inf
    answered: float = 0.0
    answered_at: float = 0.0


class Throttle:
    """The rates of all models that one event loop speaks to."""

    def __init__(
        self,
        store: Broker | Memory | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._sleep = sleep
        self._now = now
        self._models: dict[str, _Local] = {}
        self._turns: dict[tuple[str, float], asyncio.Lock] = {}

    async def enter(self, key: str, ahead: float, keep_waiting: Callable[[], bool]) -> bool:
        """Wait for this model's turn; False where ``keep_waiting`` ended the wait before."""
        known = self._known(key)
        if not known.limited and self._now() - known.looked_at < _LOOK_SECONDS:
            return keep_waiting()
        # One waiter at a time asks the broker; the others stand in line behind it.
        async with self._turns.setdefault((key, ahead), asyncio.Lock()):
            while keep_waiting():
                if not known.limited and self._now() - known.looked_at < _LOOK_SECONDS:
                    return True
                wait = await self._take(key, known, ahead)
                if wait <= 0:
                    return True
                await self._sleep(min(wait, _NAP))
        return False

    async def _take(self, key: str, known: _Local, ahead: float) -> float:
        store = self._where()
        while True:
            now, text = await store.read(key)
            known.looked_at, known.limited = self._now(), bool(text)
            if not text:
                return 0.0
            rate, wait = admit(_loads(text), now, ahead)
            after = "" if rate.allowed > FREE else _dumps(rate)
            if wait > 0 or await store.swap(key, text, after):
                return wait

    async def refused(self, key: str, *, seconds_ago: float, retry_after: float | None) -> None:
        """Slow every worker down: a request sent this many seconds ago was rate limited."""
        known, store = self._known(key), self._where()
        known.limited = True
        while True:
            now, text = await store.read(key)
            rate = refuse(
                _loads(text) if text else None,
                now,
                sent_at=now - seconds_ago,
                retry_after=retry_after,
                seen=self._seen(known),
            )
            if await store.swap(key, text, _dumps(rate)):
                return

    def answered(self, key: str) -> None:
        """Note that a request got through."""
        known, now = self._known(key), self._now()
        known.answered = known.answered * math.exp(-(now - known.answered_at) / _SEEN_SECONDS) + 1
        known.answered_at = now

    def _seen(self, known: _Local) -> float:
        past = self._now() - known.answered_at
        return known.answered * math.exp(-past / _SEEN_SECONDS) / _SEEN_SECONDS

    def _known(self, key: str) -> _Local:
        return self._models.setdefault(key, _Local())

    def _where(self) -> Broker | Memory:
        if self._store is None:
            self._store = Broker()
        return self._store

    async def aclose(self) -> None:
        """Close the connections to the broker."""
        if self._store is not None:
            await self._store.aclose()


def _dumps(rate: Rate) -> str:
    return json.dumps(asdict(rate))


def _loads(text: str) -> Rate:
    return Rate(**json.loads(text))

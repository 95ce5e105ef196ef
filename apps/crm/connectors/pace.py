"""Limit requests to what a vendor allows in a window of time."""

import asyncio
import time
from collections import deque
from typing import Protocol

_RESERVE = 0.05
"""The share of a window that is left to the account's other apps."""


class Clock(Protocol):
    """What a wait is measured by, and how it passes."""

    def now(self) -> float:
        """Return the time in seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Machine:
    """The clock of this machine."""

    def now(self) -> float:
        """Return the time since some moment."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait without holding up the loop."""
        await asyncio.sleep(seconds)


class Pace:
    """At most ``limit`` requests in any ``seconds``, for one connection in one process.

    A bucket that refills would allow twice the limit around its refill, which a vendor's rolling
    window rejects. This remembers when the last requests left instead.
    """

    def __init__(self, limit: int, seconds: float, clock: Clock | None = None) -> None:
        self.limit = limit
        self.seconds = seconds
        self.clock = clock or Machine()
        self._sent: deque[float] = deque()
        self._hold_until = 0.0

    async def enter(self) -> None:
        """Wait until one more request may leave."""
        while (wait := self._wait()) > 0:
            await self.clock.sleep(wait)
        self._sent.append(self.clock.now())

    def _wait(self) -> float:
        now = self.clock.now()
        while self._sent and self._sent[0] <= now - self.seconds:
            self._sent.popleft()
        held = self._hold_until - now
        if len(self._sent) < self.limit:
            return held
        return max(held, self._sent[0] + self.seconds - now, 0.001)

    def learn(self, *, limit: int, seconds: float, remaining: int) -> None:
        """Take over what the vendor's headers say, and wait where other apps use the rest."""
        reserve = round(limit * _RESERVE)
        self.limit, self.seconds = max(1, limit - reserve), seconds
        if remaining <= reserve:
            self._hold_until = self.clock.now() + seconds / 10

"""The courier: sends what is due, many at once, for as long as there is something.

One runs in a worker process, on the process's one event loop for webhooks. Database work happens
in a thread; the loop never waits for it.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from datetime import datetime
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from apps.core.database import is_passing

from .claims import ClaimedDelivery, claim
from .sending import Reply, Sender
from .settling import DeliveryOutcome, settle

logger = logging.getLogger(__name__)

T = TypeVar("T")

IN_FLIGHT = 256
"""Most requests in flight in one process, over all endpoints."""
LIFETIME_SECONDS = 600.0
"""Longest that a courier runs before it makes room for a fresh one."""
IDLE_SECONDS = 1.0
"""How long one without work stays; a kick or the sweep brings the next."""
POLL_SECONDS = 0.5
GATHER_SECONDS = 0.01
"""How long it gathers replies to record them together."""


class Courier:
    """One run. ``pool`` is where database work is done, by one thread. ``clock`` tells what is
    due; ``stopping`` ends it in good order, ``grace`` seconds after which nothing is waited for.
    """

    def __init__(
        self,
        *,
        sender: Sender,
        pool: Executor,
        clock: Callable[[], datetime] = timezone.now,
        stopping: Callable[[], bool] = lambda: False,
        idle: float = IDLE_SECONDS,
        grace: float = 20.0,
    ) -> None:
        self.sender, self.clock, self.stopping = sender, clock, stopping
        self.idle, self.grace = idle, grace
        self.sent = 0
        self._pool = pool
        self._busy: Counter[int] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._done: list[DeliveryOutcome] = []
        self._wakes = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self) -> int:
        """Send until nothing is due, the lifetime is over or a stop is asked; how many tries."""
        self._loop = asyncio.get_running_loop()
        try:
            await self._work()
        finally:
            await self._bring_home()
        return self.sent

    def kick(self) -> None:
        """Say, from any thread, that there may be work."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: another will be kicked
                self._loop.call_soon_threadsafe(self._wakes.set)

    async def _work(self) -> None:
        started = idle_since = time.monotonic()
        while not self.stopping() and time.monotonic() - started < LIFETIME_SECONDS:
            await self._record()
            self._wakes.clear()
            jobs = await self._claim()
            for job in jobs:
                self._start(job)
            if jobs or self._tasks or self._done:
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since >= self.idle:
                return
            await self._until_woken()

    async def _claim(self) -> list[ClaimedDelivery]:
        room = IN_FLIGHT - len(self._tasks)
        if room <= 0:
            return []
        busy = +self._busy
        return await self._in_thread(lambda: claim(busy=busy, limit=room, now=self.clock()))

    def _start(self, job: ClaimedDelivery) -> None:
        self._busy[job.endpoint_id] += 1
        task = asyncio.create_task(self._send(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, job: ClaimedDelivery) -> None:
        try:
            if job.problem:
                reply = Reply(error=job.problem)
            else:
                reply = await self.sender.send(job.what, at=timezone.now())
            self._done.append(DeliveryOutcome(job, reply, self.clock()))
            self.sent += 1
        finally:
            self._busy[job.endpoint_id] -= 1
            self._wakes.set()

    async def _until_woken(self) -> None:
        """Until a reply or a kick comes, then a moment more, for others to come along."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wakes.wait(), POLL_SECONDS if self.idle else 0.05)
        if self._done:
            await asyncio.sleep(GATHER_SECONDS)

    async def _record(self) -> None:
        group, self._done = self._done, []
        if group:
            await self._in_thread(lambda: settle(group))

    async def _bring_home(self) -> None:
        """Wait for what is on its way and record it; what takes too long runs out its lease, and
        is sent again with the same id."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=self.grace)
        await _cancel(list(self._tasks))
        await self._record()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Do database work; while the database is away, come again."""
        delay = 0.2
        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(
                    self._pool, _with_connection, work
                )
            except (OperationalError, InterfaceError) as error:
                if not is_passing(error):
                    raise
                logger.warning("The database is away (%s); next try in %.1f s", error, delay)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 5.0)


def _with_connection(work: Callable[[], T]) -> T:
    """Work with this thread's connection; a broken one is dropped, so that the next is new."""
    try:
        return work()
    except (OperationalError, InterfaceError):
        connection.close()
        raise


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

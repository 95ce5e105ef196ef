"""The engine: many requests in flight, each freed slot refilled at once.

One engine is one run of a lane in one worker process. It takes work from a `WorkSource`, keeps
``concurrency`` requests in flight on the process's one event loop, and records what is finished
in groups. Database work happens in threads; the loop never waits for it.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

from apps.core.database import is_passing
from apps.llm.client import LlmClient

from .claims import ANALYSES
from .requesting import perform
from .work import AnalysisJob, AnalysisOutcome, WorkSource

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Longest that an engine runs before it makes room for a fresh one, in seconds.
LIFETIME_SECONDS = 600.0
#: How long an engine without work stays, so that the next rerun finds it there.
IDLE_SECONDS = 3.0
#: How long it waits for answers in flight once it is to stop.
GRACE_SECONDS = 45.0
#: How long it waits before it looks again, with slots free and nothing to claim.
POLL_SECONDS = 0.5
#: How soon a stopped run's jobs that were claimed but not sent are handed back.
WATCH_SECONDS = 1.0
#: Most outcomes in one recording transaction, and how long it gathers them.
GROUP_SIZE = 64
GATHER_SECONDS = 0.02
#: Threads for database work: one claims or extends while the other records.
_THREADS = 2
#: How long a request may still take whose answer nobody wants any more.
ABANDON_SECONDS = 5.0
#: So many failures of the provider in a row, over so many seconds, and the run is paused.
DOWN_AFTER = 20
DOWN_SECONDS = 10.0
_DOWN_CODES = frozenset({"connection", "timeout", "provider_error"})


@dataclass(slots=True)
class Health:
    """Whether the provider seems to be down: failures in a row and when they began."""

    failures: int = 0
    since: float = 0.0

    def note(self, outcome: AnalysisOutcome) -> bool:
        """Take an outcome into account; True when the provider is to be taken for down."""
        if outcome.error_code not in _DOWN_CODES:
            self.failures = 0
            return False
        if not self.failures:
            self.since = time.monotonic()
        self.failures += 1
        return self.failures >= DOWN_AFTER and time.monotonic() - self.since >= DOWN_SECONDS


@dataclass
class Engine:
    """One run of a lane. ``stopping`` is looked at all the time: True ends it in good order.

    ``lifetime``, ``idle`` and ``grace`` are seconds: the longest it runs, how long it stays
    without work, and how long it waits for answers in flight once it is to stop.
    """

    source: WorkSource
    client: LlmClient
    concurrency: int
    stopping: Callable[[], bool] = lambda: False
    lifetime: float = LIFETIME_SECONDS
    idle: float = IDLE_SECONDS
    grace: float = GRACE_SECONDS
    handled: int = field(default=0, init=False)
    kicked: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._ready: asyncio.Queue[AnalysisJob | None] = asyncio.Queue()
        self._held: dict[int, AnalysisJob] = {}
        self._unsent: dict[int, AnalysisJob] = {}
        self._asking: dict[int, asyncio.Task[AnalysisOutcome]] = {}
        self._done: list[AnalysisOutcome] = []
        self._has_done = asyncio.Event()
        self._wants_work = asyncio.Event()
        self._wakes = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._working = 0
        self._closing = False
        self._ended = False
        self._health = Health()
        self._beat_at = time.monotonic()

    async def run(self) -> int:
        """Work until there is none, the lifetime is over or a stop is asked; how many it did."""
        with ThreadPoolExecutor(_THREADS, thread_name_prefix=f"db-{self.source.lane}") as pool:
            self._pool, self._loop = pool, asyncio.get_running_loop()
            slots = [asyncio.create_task(self._slot()) for _ in range(self.concurrency)]
            recorder = asyncio.create_task(self._recorder())
            watchers = [asyncio.create_task(t) for t in (self._heartbeat(), self._watch())]
            for task in (recorder, *watchers):
                task.add_done_callback(lambda _: self._close())
            try:
                await self._work(slots)
            finally:
                try:
                    await self._bring_home(recorder)
                finally:
                    await _end(watchers)
                    await self._close_connections()
        return self.handled

    async def _work(self, slots: Sequence[asyncio.Task[None]]) -> None:
        """Feed the slots; in the end, also by a fault, wait for the answers that are paid for."""
        try:
            await self._feed()
        finally:
            await self._hand_back_unsent()
            await self._drain(slots)

    async def _bring_home(self, recorder: asyncio.Task[None]) -> None:
        """Record what was answered and hand back what was not.

        Where recording itself broke, nothing is handed back: the leases run out, and what breaks
        it every time is given up after a few attempts instead of being paid for without end.
        """
        self._ended = True
        self._has_done.set()
        await recorder
        await self._hand_back(list(self._held.values()))
        await self._in_thread(self.source.finished)

    async def _drain(self, slots: Sequence[asyncio.Task[None]]) -> None:
        """Wait for what is in flight; once a stop is asked for, only as long as the grace."""
        for _ in slots:
            self._ready.put_nowait(None)
        waiting, give_up_at = set(slots), None
        while waiting:
            if give_up_at is None and self.stopping():
                give_up_at = time.monotonic() + self.grace
            if give_up_at is not None and time.monotonic() >= give_up_at:
                break
            _, waiting = await asyncio.wait(waiting, timeout=0.25)
        for slot in waiting:
            slot.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for slot in set(slots) - waiting:
            slot.result()

    async def _close_connections(self) -> None:
        """Close the connection of each thread; the barrier keeps one thread from doing both."""
        both = threading.Barrier(_THREADS)

        def close() -> None:
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(5)
            connection.close()

        await asyncio.gather(*(self._in_thread(close) for _ in range(_THREADS)))

    def _close(self) -> None:
        """Take no more work: what an engine cannot do without ended, or broke."""
        self._closing = True
        self._wants_work.set()

    def kick(self) -> None:
        """Say, from any thread, that there is work: it is looked for now and not at the next poll.

        ``kicked`` stays true where the engine was ending and did not look again.
        """
        self.kicked = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wakes.set)

    async def _feed(self) -> None:
        """Keep a small stock of claimed jobs, so that a freed slot never waits for a claim."""
        deadline = time.monotonic() + self.lifetime
        idle_since: float | None = None
        while not self._must_end() and time.monotonic() < deadline:
            wanted = min(self._stock - self._ready.qsize(), self._most - len(self._held))
            self.kicked = False
            jobs = await self._in_thread(self._claim, wanted) if wanted > 0 else []
            for job in jobs:
                self._held[job.analysis_id] = self._unsent[job.analysis_id] = job
                self._ready.put_nowait(job)
            if jobs:
                idle_since = None
                await self._until_low()
                continue
            if self._held:
                idle_since = None
            else:
                idle_since = idle_since or time.monotonic()
                await self._in_thread(self.source.finished)
                if time.monotonic() - idle_since >= self.idle:
                    return
            await self._until_kicked(POLL_SECONDS if wanted > 0 else 0.01)

    def _claim(self, wanted: int) -> list[AnalysisJob]:
        """Claim in a thread. After the database was away, the leases of what is in flight may
        have run out: they are renewed first, so that an engine does not claim its own work."""
        if time.monotonic() - self._beat_at > 2 * ANALYSES.heartbeat_seconds:
            self._beat()
        return self.source.claim(wanted)

    async def _until_kicked(self, seconds: float) -> None:
        """Sleep, but no longer than until a kick says that there is work."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wakes.wait(), seconds)
        self._wakes.clear()

    def _must_end(self) -> bool:
        return self._closing or self.stopping()

    @property
    def _stock(self) -> int:
        """Jobs to hold ready: what free slots take now, and as many again, because slots tend to
        be freed together."""
        return self.concurrency - self._working + self.concurrency

    @property
    def _most(self) -> int:
        """Jobs to hold at all, those included whose answers wait to be recorded: where recording
        is slow, a death must not cost more than one answer a slot beside those in flight."""
        return 2 * self.concurrency

    async def _until_low(self) -> None:
        """Wait until the stock is half used, looking up now and then for a stop."""
        while self._ready.qsize() > self.concurrency // 2 and not self._must_end():
            self._wants_work.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wants_work.wait(), 0.25)

    async def _slot(self) -> None:
        while (job := await self._ready.get()) is not None:
            if self._unsent.get(job.analysis_id) is not job:
                continue  # withdrawn meanwhile
            self._working += 1
            try:
                outcome = await self._ask(job)
            finally:
                self._working -= 1
                self._wants_work.set()
            if outcome is None:
                continue
            if self._health.note(outcome) and not outcome.pause:
                outcome.pause = "provider_down"
            if outcome.pause and await self._paused(outcome):
                continue
            if outcome.can_wait and await self._was_put_off(outcome):
                continue
            self._done.append(outcome)
            self._has_done.set()

    async def _ask(self, job: AnalysisJob) -> AnalysisOutcome | None:
        """The outcome of a job; None where it was withdrawn while it waited for its turn.

        It counts as unsent until the model's limits let it through: with a model that takes one
        request at a time most of what slots hold only waits.
        """

        def sent() -> None:
            self._unsent.pop(job.analysis_id, None)

        asking = asyncio.create_task(perform(job, self.client, on_send=sent))
        self._asking[job.analysis_id] = asking
        try:
            await asyncio.wait([asking])
        finally:
            asking.cancel()
            del self._asking[job.analysis_id]
        if asking.cancelled():
            return None
        sent()  # what fails before anything leaves, a transcript too long, is answered too
        return asking.result()

    def _withdraw(self, jobs: Sequence[AnalysisJob]) -> list[AnalysisJob]:
        """Those of the jobs that were not sent, which from now on are not going to be."""
        withdrawn = [j for j in jobs if self._unsent.get(j.analysis_id) is j]
        for job in withdrawn:
            del self._unsent[job.analysis_id]
            if asking := self._asking.get(job.analysis_id):
                asking.cancel()
        return withdrawn

    async def _paused(self, outcome: AnalysisOutcome) -> bool:
        """Ask the source to pause the run; where it does, the job goes back and stays undone,
        and so do those of the run that are not sent yet: they would only be refused as well."""
        if not await self._in_thread(self.source.pause, outcome):
            return False
        await self._hand_back([outcome.job])
        await self._charge(outcome)
        await self._withdraw_stopped()
        return True

    async def _was_put_off(self, outcome: AnalysisOutcome) -> bool:
        """Ask the source to let the job wait for its provider; whether it does."""
        if not await self._in_thread(self.source.put_off, outcome):
            return False
        self._held.pop(outcome.job.analysis_id, None)
        await self._charge(outcome)
        return True

    async def _charge(self, outcome: AnalysisOutcome) -> None:
        """Record what a job spent that is no longer ours: its lease is gone, so nothing else."""
        if outcome.usage.total:
            await self._in_thread(self._record, [outcome])

    async def _watch(self) -> None:
        """Hand back what was claimed but not sent of runs that somebody stopped, and give up
        requests that stay silent although nobody wants their answers any more."""
        unwanted: dict[int, float] = {}
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await self._withdraw_stopped()
            sent = [job for pk, job in self._held.items() if pk in self._asking]
            abandoned = await self._in_thread(self.source.abandoned, sent) if sent else []
            now = time.monotonic()
            unwanted = {j.analysis_id: unwanted.get(j.analysis_id, now) for j in abandoned}
            silent = [j for j in abandoned if now - unwanted[j.analysis_id] >= ABANDON_SECONDS]
            await self._abandon(silent)

    async def _abandon(self, jobs: Sequence[AnalysisJob]) -> None:
        """Give up requests that were sent; their answers, should any come, are not recorded."""
        given_up = [job for job in jobs if (asking := self._asking.get(job.analysis_id))
                    and asking.cancel()]  # fmt: skip
        await self._hand_back(given_up)

    async def _withdraw_stopped(self) -> None:
        claimed = list(self._unsent.values())
        stopped = await self._in_thread(self.source.stopped, claimed) if claimed else []
        # What was sent in the meantime is on its way, and recorded when it comes home.
        await self._hand_back(self._withdraw(stopped))

    async def _recorder(self) -> None:
        """Record what is finished, in groups; the database being away only delays it."""
        while True:
            await self._has_done.wait()
            if not self._done:
                if self._ended:
                    return
                self._has_done.clear()
                continue
            if len(self._done) < GROUP_SIZE and not self._ended:
                await asyncio.sleep(GATHER_SECONDS)
            group, self._done = self._done[:GROUP_SIZE], self._done[GROUP_SIZE:]
            await self._in_thread(self._record, group)
            for outcome in group:
                self._held.pop(outcome.job.analysis_id, None)
            self.handled += len(group)

    def _record(self, group: Sequence[AnalysisOutcome]) -> None:
        self.source.record(group)

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(ANALYSES.heartbeat_seconds)
            await self._in_thread(self._beat)

    def _beat(self) -> None:
        if held := list(self._held.values()):
            self.source.extend(held)
        self._beat_at = time.monotonic()

    async def _hand_back_unsent(self) -> None:
        await self._hand_back(self._withdraw(list(self._unsent.values())))

    async def _hand_back(self, jobs: Sequence[AnalysisJob]) -> None:
        if jobs:
            await self._in_thread(self.source.hand_back, jobs)
            for job in jobs:
                self._held.pop(job.analysis_id, None)

    async def _in_thread(self, function: Callable[..., T], *args: object) -> T:
        """Run database work in a thread; while the database is away, come again."""
        delay = 0.2
        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(
                    self._pool, _with_connection, function, *args
                )
            except (OperationalError, InterfaceError) as error:
                if not is_passing(error):
                    raise
                logger.warning("The database is away (%s); next try in %.1f s", error, delay)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 5.0)


def _with_connection(function: Callable[..., T], *args: object) -> T:
    """Call with this thread's connection; a broken one is dropped, so that the next is new."""
    try:
        return function(*args)
    except (OperationalError, InterfaceError):
        connection.close()
        raise


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """End tasks that run for ever; one that broke before is told of."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            logger.error("An engine's watcher broke", exc_info=result)

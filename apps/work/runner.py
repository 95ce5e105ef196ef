"""Run a queue: many jobs in flight, each freed slot filled immediately.

A runner is one run of a queue in one worker process. It claims jobs, performs as many at the same
time as the queue says on the process's one event loop, and records finished jobs in groups.
Database work happens in threads; the loop never waits for it.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Generic

from apps.core.log_context import log_context

from .queue import J, O, Queue, Verdict, log_ids_of
from .threads import DatabaseThreads

logger = logging.getLogger(__name__)

#: How long a runner without work stays, so that the next job finds it there.
IDLE_SECONDS = 3.0
#: How long it waits for jobs in flight once it is to stop.
GRACE_SECONDS = 45.0
#: How long it waits before it looks again, with slots free and nothing to claim.
POLL_SECONDS = 0.5
#: How long it waits for its stock to fall before it looks for a stop.
LOOK_SECONDS = 0.25
#: No job is claimed ahead where one takes longer: a claim then costs little of a slot's time.
AHEAD_SECONDS = 5.0
#: How soon a stopped run's jobs that were claimed but not sent are handed back.
WATCH_SECONDS = 1.0
#: Most outcomes in one recording transaction, and how long it gathers them.
GROUP_SIZE = 64
GATHER_SECONDS = 0.02
#: How long a request may still take whose answer no one wants any longer.
ABANDON_SECONDS = 5.0


@dataclass
class Runner(Generic[J, O]):
    """One run of a queue. ``stopping`` is checked all the time: True ends it in good order.

    ``idle`` and ``grace`` are seconds: how long it stays without work, and how long it waits for
    jobs in flight once it is to stop. ``concurrency`` and ``pool``, which does the database work,
    are the queue's and the runner's own by default.

    Nothing else ends it. A runner with a limited life would claim nothing from then on until its
    last response, which takes up to 15 minutes at a slow service tier.
    """

    queue: Queue[J, O]
    concurrency: int = 0
    stopping: Callable[[], bool] = lambda: False
    idle: float = IDLE_SECONDS
    grace: float = GRACE_SECONDS
    pool: Executor | None = None
    handled: int = field(default=0, init=False)
    woken: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.concurrency = self.concurrency or self.queue.concurrency
        self._ready: asyncio.Queue[J | None] = asyncio.Queue()
        self._held: dict[int, J] = {}
        self._unsent: dict[int, J] = {}
        self._performing: dict[int, asyncio.Task[O]] = {}
        self._done: list[O] = []
        self._has_done = asyncio.Event()
        self._wants_work = asyncio.Event()
        self._wakes = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._working = 0
        self._job_seconds: float | None = None
        self._closing = False
        self._ended = False
        self._beat_at = time.monotonic()

    async def run(self, client: Any) -> int:
        """Work until there is none or a stop is asked; return how many jobs were done.

        ``client`` is what the queue performs jobs with.
        """
        self._client, self._loop = client, asyncio.get_running_loop()
        async with DatabaseThreads(self.queue.name, self.pool) as self._database:
            await self._run()
        return self.handled

    async def _run(self) -> None:
        slots = [asyncio.create_task(self._slot()) for _ in range(self.concurrency)]
        recorder = asyncio.create_task(self._recorder())
        watchers = [asyncio.create_task(t) for t in (self._heartbeat(), self._watch())]
        for task in (recorder, *watchers):
            task.add_done_callback(lambda _: self._close())
        try:
            await self._work(slots)
        finally:
            try:
                await self._record_and_hand_back(recorder)
            finally:
                await _end(watchers)

    async def _work(self, slots: Sequence[asyncio.Task[None]]) -> None:
        """Feed the slots. In the end, also after a fault, wait for responses that are paid for."""
        try:
            await self._feed()
        finally:
            await self._hand_back(self._withdraw(list(self._unsent.values())))
            await self._drain(slots)

    async def _record_and_hand_back(self, recorder: asyncio.Task[None]) -> None:
        """Record finished jobs and hand back the others.

        Where recording itself broke, nothing is handed back: the leases expire, and a job that
        breaks it every time is given up after a few attempts instead of being paid for forever.
        """
        self._ended = True
        self._has_done.set()
        await recorder
        await self._hand_back(list(self._held.values()))
        await self._database.run(self.queue.finished)

    async def _drain(self, slots: Sequence[asyncio.Task[None]]) -> None:
        """Wait for the jobs in flight; after a stop request, only for the grace period."""
        for _ in slots:
            self._ready.put_nowait(None)
        waiting, give_up_at = set(slots), None
        while waiting:
            if give_up_at is None and self.stopping():
                give_up_at = time.monotonic() + self.grace
            if give_up_at is not None and time.monotonic() >= give_up_at:
                break
            _, waiting = await asyncio.wait(waiting, timeout=0.25)
        if given_up := [key for key in self._performing if key not in self._unsent]:
            logger.warning(
                "Gave up %d requests of %s without a response after %.0f s. They are sent again"
                " and may be charged twice",
                *(len(given_up), self.queue.name, self.grace),
            )
        for slot in waiting:
            slot.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for slot in set(slots) - waiting:
            slot.result()

    def _close(self) -> None:
        """Stop claiming work, because something that the runner needs ended or broke."""
        self._closing = True
        self._wants_work.set()

    def wake(self) -> None:
        """Say, from any thread, that there is work, so that it is looked for before the next poll.

        ``woken`` stays true where the runner was ending and did not look again.
        """
        self.woken = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wakes.set)

    async def _feed(self) -> None:
        """Keep a small stock of claimed jobs, so that a freed slot never waits for a claim."""
        idle_since: float | None = None
        while not self._must_end():
            wanted = min(self._stock - self._ready.qsize(), self._max_held - len(self._held))
            self.woken = False
            jobs = await self._database.run(self._claim, wanted) if wanted > 0 else []
            for job in jobs:
                self._held[job.key] = self._unsent[job.key] = job
                self._ready.put_nowait(job)
            if jobs and not self.queue.ordered:
                idle_since = None
                await self._until_low()
                continue
            if self._held:
                idle_since = None
            else:
                idle_since = idle_since or time.monotonic()
                await self._database.run(self.queue.finished)
                if time.monotonic() - idle_since >= self.idle:
                    return
            waits_for_record = wanted <= 0 and not self.queue.ordered
            await self._until_woken(0.01 if waits_for_record else POLL_SECONDS)

    def _claim(self, wanted: int) -> Sequence[J]:
        """Claim jobs in a thread.

        After an outage of the database, the leases of the jobs in flight may have expired: they
        are extended first, so that a runner doesn't claim its own work.
        """
        if time.monotonic() - self._beat_at > 2 * self.queue.table.heartbeat_seconds:
            self._beat()
        return self.queue.claim(wanted)

    async def _until_woken(self, seconds: float) -> None:
        """Sleep, but no longer than until someone says that there is work."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wakes.wait(), seconds)
        self._wakes.clear()

    def _must_end(self) -> bool:
        return self._closing or self.stopping()

    @property
    def _prefetch(self) -> int:
        """Return how many jobs to hold next to those in flight, because slots tend to be freed
        together. None before the first outcome, and where a job takes long: other workers may have
        free slots for them by then."""
        if self.queue.ordered or self._job_seconds is None:
            return 0
        return self.concurrency if self._job_seconds <= AHEAD_SECONDS else 0

    @property
    def _stock(self) -> int:
        """Return how many jobs to hold ready: what free slots take now, and the prefetch."""
        return self.concurrency - self._working + self._prefetch

    @property
    def _max_held(self) -> int:
        """Return how many jobs to hold at all, with those whose outcomes are not recorded yet:
        where recording is slow, a death must not cost more than one response a slot next to those
        in flight."""
        return self.concurrency * (1 if self.queue.ordered else 2)

    async def _until_low(self) -> None:
        """Wait until the stock is half used, looking up now and then for a stop."""
        while not self._must_end():
            ready = self._ready.qsize()
            if ready <= self.concurrency // 2 and ready < self._stock:
                return
            self._wants_work.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wants_work.wait(), LOOK_SECONDS)

    async def _slot(self) -> None:
        while (job := await self._ready.get()) is not None:
            if self._unsent.get(job.key) is not job:
                continue  # withdrawn in the meantime
            self._working += 1
            if self._ready.qsize() <= self.concurrency // 2:
                self._wants_work.set()
            began = time.monotonic()
            try:
                outcome = await self._perform(job)
            finally:
                self._working -= 1
                self._wants_work.set()
            if outcome is None:
                continue
            took = time.monotonic() - began
            self._job_seconds = 0.9 * (self._job_seconds or took) + 0.1 * took
            if self.queue.is_setback(outcome) and await self._was_given_up(outcome):
                continue
            self._done.append(outcome)
            self._has_done.set()

    async def _perform(self, job: J) -> O | None:
        """Return the outcome of a job; None where it was withdrawn while it waited for its turn.

        It counts as unsent until the queue says that the request leaves: with a model that takes
        one request at a time most of what slots hold only waits.
        """

        def sent() -> None:
            # Whoever waits in there may swallow a cancellation: a broker's client does.
            if self._performing.get(job.key) is not task:
                raise asyncio.CancelledError
            self._unsent.pop(job.key, None)

        with log_context(log_ids_of(job)):
            task = asyncio.create_task(self.queue.perform(job, self._client, sent))
        self._performing[job.key] = task
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
            if is_wanted := self._performing.get(job.key) is task:
                del self._performing[job.key]
        if task.cancelled() or not is_wanted:
            return None
        self._unsent.pop(job.key, None)  # a job that fails before anything leaves has an outcome
        return task.result()

    def _withdraw(self, jobs: Sequence[J]) -> list[J]:
        """Cancel those of the jobs that were not sent, and return them."""
        withdrawn = [job for job in jobs if self._unsent.get(job.key) is job]
        for job in withdrawn:
            del self._unsent[job.key]
            if task := self._performing.pop(job.key, None):
                task.cancel()
        return withdrawn

    async def _was_given_up(self, outcome: O) -> bool:
        """Ask the queue whether to record a setback. Where its run is paused, the job goes back,
        and so does everything of the run that is unsent: it would only fail as well."""
        verdict = await self._database.run(self.queue.judge, outcome)
        if verdict is Verdict.RECORD:
            return False
        key = outcome.job.key
        if verdict is Verdict.HAND_BACK:
            await self._hand_back([self._held[key]])
        self._held.pop(key, None)
        await self._database.run(self.queue.charge, outcome)
        if verdict is Verdict.HAND_BACK:
            await self._withdraw_stopped()
        return True

    async def _watch(self) -> None:
        """Hand back unsent jobs of stopped runs, and give up silent requests of abandoned ones."""
        unwanted: dict[int, float] = {}
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await self._withdraw_stopped()
            sent = [job for pk, job in self._held.items() if pk in self._performing]
            abandoned = await self._database.run(self.queue.abandoned, sent) if sent else []
            now = time.monotonic()
            unwanted = {j.key: unwanted.get(j.key, now) for j in abandoned}
            silent = [j for j in abandoned if now - unwanted[j.key] >= ABANDON_SECONDS]
            await self._abandon(silent)

    async def _abandon(self, jobs: Sequence[J]) -> None:
        """Give up requests that were sent; their responses, should any come, are not recorded."""
        given_up = [job for job in jobs if (task := self._performing.get(job.key))
                    and task.cancel()]  # fmt: skip
        await self._hand_back(given_up)

    async def _withdraw_stopped(self) -> None:
        claimed = list(self._unsent.values())
        stopped = await self._database.run(self.queue.stopped, claimed) if claimed else []
        # What was sent in the meantime is in flight, and recorded when it is done.
        await self._hand_back(self._withdraw(stopped))

    async def _recorder(self) -> None:
        """Record finished jobs in groups; an outage of the database only delays it."""
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
            await self._database.run(self.queue.record, group)
            for outcome in group:
                self._held.pop(outcome.job.key, None)
            self.handled += len(group)
            if self.queue.ordered:
                self._wakes.set()

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(self.queue.table.heartbeat_seconds)
            await self._database.run(self._beat)

    def _beat(self) -> None:
        if held := list(self._held.values()):
            self.queue.extend(held)
        self._beat_at = time.monotonic()

    async def _hand_back(self, jobs: Sequence[J]) -> None:
        if jobs:
            await self._database.run(self.queue.hand_back, jobs)
            for job in jobs:
                self._held.pop(job.key, None)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """End tasks that run forever; log one that broke before."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            logger.error("A watcher of a runner broke", exc_info=result)

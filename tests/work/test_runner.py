"""What a runner does with jobs, on queues that live in memory."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest

from apps.work.queue import LeasedTable, Queue
from apps.work.runner import Runner


@dataclass(frozen=True)
class Job:
    key: int
    token: UUID = field(default_factory=uuid4)


@dataclass(frozen=True)
class Done:
    job: Job


class Deaf(Queue[Job, Done]):
    """Its jobs wait before they send, and the wait swallows a cancellation."""

    name = "deaf"
    table = LeasedTable("nothing", seconds=60)
    client_class = object

    def __init__(self) -> None:
        self.jobs = [Job(1), Job(2)]
        self.stop = False
        self.sent: list[int] = []
        self.recorded: list[int] = []
        self.handed_back: list[int] = []

    @property
    def concurrency(self) -> int:
        return 2

    def claim(self, limit: int) -> Sequence[Job]:
        claimed, self.jobs = self.jobs[:limit], self.jobs[limit:]
        return claimed

    async def perform(self, job: Job, client: Any, on_send: Callable[[], None]) -> Done:
        self.stop = True
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        on_send()
        self.sent.append(job.key)
        return Done(job)

    def record(self, outcomes: Sequence[Done]) -> None:
        self.recorded += [outcome.job.key for outcome in outcomes]

    def extend(self, jobs: Sequence[Job]) -> None: ...

    def hand_back(self, jobs: Sequence[Job]) -> None:
        self.handed_back += [job.key for job in jobs]


def test_a_job_that_was_handed_back_is_never_sent() -> None:
    queue = Deaf()
    with ThreadPoolExecutor(2) as pool:
        runner = Runner(queue, stopping=lambda: queue.stop, pool=pool, grace=5)
        assert asyncio.run(runner.run(None)) == 0
    assert sorted(queue.handed_back) == [1, 2]
    assert queue.sent == queue.recorded == []


class Slow(Deaf):
    """No job ends before the other slot has one too."""

    name = "slow"

    def __init__(self) -> None:
        super().__init__()
        self.jobs = [Job(number) for number in range(9)]
        self.left_at_first: int | None = None
        self.ended = 0

    async def perform(self, job: Job, client: Any, on_send: Callable[[], None]) -> Done:
        on_send()
        if self.left_at_first is None:
            await asyncio.sleep(0)
            self.left_at_first = len(self.jobs)
        self.ended += 1
        self.stop = self.ended >= 3
        return Done(job)


def left_after_three(queue: Slow) -> int:
    """Return how many jobs are left to other workers once three have ended."""
    with ThreadPoolExecutor(2) as pool:
        runner = Runner(queue, stopping=lambda: queue.stop, pool=pool, grace=5)
        asyncio.run(runner.run(None))
    return len(queue.jobs)


def test_no_job_is_claimed_ahead_before_the_first_outcome() -> None:
    """A worker that comes first leaves the others their share."""
    queue = Slow()
    left_after_three(queue)
    assert queue.left_at_first == 7


def test_no_job_is_claimed_ahead_where_they_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other workers may have free slots before this one has."""
    monkeypatch.setattr("apps.work.runner.AHEAD_SECONDS", 0.0)
    held = 2
    assert left_after_three(Slow()) >= 9 - 3 - held


class Together(Deaf):
    """Both slots end their first jobs at once. The next two wait for one that is claimed ahead."""

    name = "together"

    def __init__(self) -> None:
        super().__init__()
        self.jobs = [Job(number) for number in range(6)]
        self.both = asyncio.Barrier(2)
        self.ahead = threading.Event()
        self.were_ahead: list[bool] = []
        self.ended = 0

    def claim(self, limit: int) -> Sequence[Job]:
        claimed = super().claim(limit)
        if any(job.key > 3 for job in claimed):
            self.ahead.set()
        return claimed

    async def perform(self, job: Job, client: Any, on_send: Callable[[], None]) -> Done:
        on_send()
        if job.key < 2:
            await self.both.wait()
        elif job.key < 4:
            self.were_ahead.append(await asyncio.to_thread(self.ahead.wait, 20))
        self.ended += 1
        self.stop = self.ended == 6
        return Done(job)


def test_slots_that_end_together_find_the_next_jobs_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taking a job from the stock is what lowers it: else all slots wait for each other."""
    monkeypatch.setattr("apps.work.runner.LOOK_SECONDS", 60.0)
    queue = Together()
    with ThreadPoolExecutor(2) as pool:
        runner = Runner(queue, stopping=lambda: queue.stop, pool=pool, grace=5)
        asyncio.run(runner.run(None))
    assert queue.were_ahead == [True, True]

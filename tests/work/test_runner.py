"""What a runner does with jobs, on queues that live in memory."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from apps.work.leases import LeasedTable
from apps.work.queue import Queue
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

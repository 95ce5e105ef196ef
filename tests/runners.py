"""Runners inside a test's process: the real client and a real server, no Celery between."""

import asyncio
from collections.abc import Callable

from apps.analysis.queues import AnalysisQueue, FirstAnalysisQueue, RerunQueue
from apps.llm.client import LlmClient
from apps.llm.failed_request import RetryPolicy
from apps.llm.specs import Priority
from apps.runs.backfill_queue import BackfillQueue
from apps.work.runner import Runner


def run_queue(
    priority: Priority,
    *,
    concurrency: int = 16,
    stopping: Callable[[], bool] = lambda: False,
    grace: float = 10.0,
    retry: RetryPolicy | None = None,
) -> int:
    """Run one queue until nothing waits in it; how many jobs it did."""
    queues: dict[Priority, type[AnalysisQueue]] = {
        Priority.INTERACTIVE: RerunQueue,
        Priority.LIVE: FirstAnalysisQueue,
        Priority.BACKFILL: BackfillQueue,
    }
    source = queues[priority]()
    return run_source(source, concurrency=concurrency, stopping=stopping, grace=grace, retry=retry)


def run_source(
    source: AnalysisQueue,
    *,
    concurrency: int = 16,
    stopping: Callable[[], bool] = lambda: False,
    grace: float = 10.0,
    retry: RetryPolicy | None = None,
    idle: float = 0.0,
) -> int:
    """Run this queue until it has nothing; how many jobs it did."""

    async def work() -> int:
        client = LlmClient(retry=retry)
        try:
            return await Runner(
                queue=source,
                concurrency=concurrency,
                stopping=stopping,
                grace=grace,
                idle=idle,
            ).run(client)
        finally:
            await client.aclose()

    return asyncio.run(work())

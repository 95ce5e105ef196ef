"""The queue of pushes: send due contacts in the batches that each CRM takes."""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

from django.utils import timezone

from apps.work.queue import Queue

from . import record
from .claims import PUSHES, Batch, Item, take
from .client import CrmClient
from .connectors.base import ConnectorError, ItemResult
from .content import prepare
from .record import BatchOutcome

logger = logging.getLogger(__name__)

LONGEST_SECONDS = 120.0
"""How long a connector may take for one batch, its own waiting for the CRM's limits included."""


class PushQueue(Queue[Batch, BatchOutcome]):
    """Pending pushes to CRMs. ``clock`` returns the current time."""

    name = "pushes"
    table = PUSHES
    client_class = CrmClient
    ordered = True
    concurrency = 32

    def __init__(self, clock: Callable[[], datetime] = timezone.now) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._busy: Counter[int] = Counter()

    def claim(self, limit: int) -> list[Batch]:
        now = self._clock()
        with self._lock:
            busy = +self._busy
        jobs: list[Batch] = []
        for taken in take(busy=busy, limit=limit, now=now):
            prepared = prepare(taken)
            record.end_silent(prepared.silent, now)
            jobs += prepared.batches
        with self._lock:
            self._busy.update(job.connection_id for job in jobs)
        return jobs

    async def perform(
        self, job: Batch, client: CrmClient, on_send: Callable[[], None]
    ) -> BatchOutcome:
        on_send()
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                results = await _send(job, client)
        except ConnectorError as error:
            return BatchOutcome(job, self._clock(), error.results, error)
        except TimeoutError:
            late = ConnectorError(f"No response within {LONGEST_SECONDS:g} seconds.")
            return BatchOutcome(job, self._clock(), {}, late)
        except Exception as error:  # a vendor may return anything, and a job must have an outcome
            logger.exception("A connector failed: %s", job.kind)
            text = f"The response couldn’t be read ({type(error).__name__})."
            return BatchOutcome(job, self._clock(), {}, ConnectorError(text))
        return BatchOutcome(job, self._clock(), dict(enumerate(results)))

    def record(self, outcomes: Sequence[BatchOutcome]) -> None:
        record.record(outcomes)
        self._leave([outcome.job for outcome in outcomes])

    def extend(self, jobs: Sequence[Batch]) -> None:
        self.table.extend(_items(jobs))

    def hand_back(self, jobs: Sequence[Batch]) -> None:
        self.table.release(_items(jobs))
        self._leave(jobs)

    def _leave(self, jobs: Sequence[Batch]) -> None:
        """Free the places that the jobs took at their connections."""
        with self._lock:
            self._busy.subtract(job.connection_id for job in jobs)


def _items(jobs: Sequence[Batch]) -> list[Item]:
    return [item for job in jobs for item in job.items]


async def _send(job: Batch, client: CrmClient) -> Sequence[ItemResult]:
    """Send a batch. Raises ConnectorError."""
    if job.problem:
        raise ConnectorError(job.problem, stops=True)
    connector = client.connector(job.kind, job.account)
    if activity := job.items[0].activity:
        return [await connector.log_activity(activity)]
    results = await connector.push([item.change for item in job.items if item.change])
    if len(results) != len(job.items):
        raise ConnectorError("The CRM returned results for other contacts than were sent.")
    return results

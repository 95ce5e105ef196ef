"""The queue of deliveries: send those that are due, in order for each conversation."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

from django.utils import timezone

from apps.core.signed_requests import Reply, Sender
from apps.work.queue import Queue

from . import record
from .claims import DELIVERIES, ClaimedDelivery, claim
from .record import DeliveryOutcome


class DeliveryQueue(Queue[ClaimedDelivery, DeliveryOutcome]):
    """Pending deliveries to endpoints. ``clock`` returns the current time."""

    name = "deliveries"
    table = DELIVERIES
    client_class = Sender
    ordered = True
    concurrency = 256

    def __init__(self, clock: Callable[[], datetime] = timezone.now) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._busy: Counter[int] = Counter()

    def claim(self, limit: int) -> list[ClaimedDelivery]:
        with self._lock:
            busy = +self._busy
        jobs = claim(busy=busy, limit=limit, now=self._clock())
        with self._lock:
            self._busy.update(job.endpoint_id for job in jobs)
        return jobs

    async def perform(
        self, job: ClaimedDelivery, client: Sender, on_send: Callable[[], None]
    ) -> DeliveryOutcome:
        on_send()
        if job.problem:
            reply = Reply(error=job.problem)
        else:
            reply = await client.send(job.what, at=timezone.now())
        return DeliveryOutcome(job, reply, self._clock())

    def record(self, outcomes: Sequence[DeliveryOutcome]) -> None:
        record.record(outcomes)
        self._leave([outcome.job for outcome in outcomes])

    def hand_back(self, jobs: Sequence[ClaimedDelivery]) -> None:
        super().hand_back(jobs)
        self._leave(jobs)

    def _leave(self, jobs: Sequence[ClaimedDelivery]) -> None:
        """Free the places that the jobs took at their endpoints."""
        with self._lock:
            self._busy.subtract(job.endpoint_id for job in jobs)

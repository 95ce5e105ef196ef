"""What a runner works on: jobs that are claimed, performed, and recorded in groups.

An outcome that can't be stored spoils no other one of its group.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

from apps.core.database import is_passing
from apps.core.log_context import log_context

from .leases import Lease, LeasedTable

logger = logging.getLogger(__name__)


class Outcome(Protocol):
    """How a job ended."""

    @property
    def job(self) -> Lease:
        """Return the job."""


class Client(Protocol):
    """What performs requests, with its connections. Opened and closed once per process."""

    async def aclose(self) -> None:
        """Close the connections."""


def log_ids_of(job: Lease) -> Mapping[str, str]:
    """Return the IDs that log lines about a job carry: its `log_ids`, where it has some."""
    ids: Mapping[str, str] = getattr(job, "log_ids", {})
    return ids


J = TypeVar("J", bound=Lease)
O = TypeVar("O", bound=Outcome)  # noqa: E741 (the outcome of J)


class Verdict(Enum):
    """What becomes of a job whose outcome is a setback."""

    RECORD = "record"
    HAND_BACK = "hand back"  # its run was paused, and all of it that is unsent goes back, too
    PUT_OFF = "put off"  # it waits, and its lease is given up already


class Queue(ABC, Generic[J, O]):
    """Work of one kind. ``perform`` and ``is_setback`` run on the loop, everything else in threads.

    There is at most one runner per ``name`` in a process. ``table`` holds the leases.
    ``client_class`` makes what `perform` gets as its client; queues with the same class share it.
    ``ordered`` says that recording one job may make another one due: then the queue is looked at
    again after each recording, and nothing is claimed before a slot is free for it.
    """

    name: str
    table: LeasedTable
    client_class: Callable[[], Any]
    ordered = False

    @property
    @abstractmethod
    def concurrency(self) -> int:
        """Return how many jobs of the queue a process performs at the same time."""

    @abstractmethod
    def claim(self, limit: int) -> Sequence[J]:
        """Take up to ``limit`` jobs, leased. Check first whether work may be taken at all."""

    @abstractmethod
    async def perform(self, job: J, client: Any, on_send: Callable[[], None]) -> O:
        """Do a job and return its outcome, also for a failure.

        Call ``on_send`` when the request leaves. Until then the job can be withdrawn by
        cancellation, and nothing was spent.
        """

    @abstractmethod
    def record(self, outcomes: Sequence[O]) -> None:
        """Write how a group of jobs ended, and what it cost, in one transaction."""

    def extend(self, jobs: Sequence[J]) -> None:
        """Extend the leases of jobs that this worker holds."""
        self.table.extend(jobs)

    def hand_back(self, jobs: Sequence[J]) -> None:
        """Give up jobs for which nothing was sent, so that any worker can take them now."""
        self.table.release(jobs)

    def stopped(self, jobs: Sequence[J]) -> Sequence[J]:
        """Return those of the claimed jobs whose run was paused or canceled since."""
        return []

    def abandoned(self, jobs: Sequence[J]) -> Sequence[J]:
        """Return those of the jobs in flight whose outcome no one wants any longer."""
        return []

    def is_setback(self, outcome: O) -> bool:
        """Return whether `judge` is to be asked before this outcome is recorded."""
        return False

    def judge(self, outcome: O) -> Verdict:
        """Pause the run or put the job off, where that helps more than recording a failure."""
        return Verdict.RECORD

    def charge(self, outcome: O) -> None:
        """Record what was spent on a job that was handed back or put off."""

    def finished(self) -> None:
        """Close what has nothing left to do, in a transaction of its own."""


def write_outcomes(
    outcomes: Sequence[O],
    write: Callable[[Sequence[O]], None],
    *,
    without_answer: Callable[[O], O],
) -> None:
    """Write a group in the transaction of ``write``; where that fails, write each alone.

    An outcome that can't be stored is written as ``without_answer`` returns it. Raise when the
    database is away: the caller keeps the outcomes and tries again.
    """
    try:
        write(outcomes)
    except Exception as error:  # whatever one of them breaks, the others were paid for
        if is_passing(error):
            raise
        logger.warning("Recording %d jobs failed, trying one by one", len(outcomes))
        for outcome in outcomes:
            with log_context(log_ids_of(outcome.job)):
                _record_one(outcome, write, without_answer)


def _record_one(
    outcome: O, write: Callable[[Sequence[O]], None], without_answer: Callable[[O], O]
) -> None:
    """Try twice: a clash with a writer of the same row is over when it is seen."""
    for _ in range(2):
        try:
            write([outcome])
        except Exception as error:
            if is_passing(error):
                raise
            logger.exception("The outcome of job %d can't be stored", outcome.job.key)
        else:
            return
    write([without_answer(outcome)])

"""Work that stands as pending analyses: reruns that a person waits for, and first analyses."""

from collections.abc import Sequence

from . import claiming
from .models import Lane
from .work import Job, Outcome, Recorded


class QueueSource:
    """The pending analyses of one lane, oldest first."""

    def __init__(self, lane: Lane) -> None:
        self.lane: str = lane.value

    def claim(self, limit: int) -> list[Job]:
        """Take up to ``limit`` analyses that wait or whose worker is gone."""
        return claiming.load_jobs(claiming.take(lane=self.lane, limit=limit))

    def settle(self, recorded: Sequence[Recorded]) -> None:
        """Nothing stands beside the analysis itself."""

    def hand_back(self, jobs: Sequence[Job]) -> None:
        claiming.release(jobs)

    def stopped(self, jobs: Sequence[Job]) -> list[Job]:
        """Nobody stops a queue."""
        return []

    def pause(self, outcome: Outcome) -> bool:
        """A person waits for the answer: it is the reason, as a failure."""
        return False

    def finished(self) -> None:
        """A queue is never finished."""

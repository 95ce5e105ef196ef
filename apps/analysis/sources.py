"""Work that stands as analyses: what all sources of it share, and the queues of two lanes."""

from collections.abc import Sequence

from apps.conversations.models import Trigger

from . import claims, recording, recovery
from .models import Lane
from .work import AnalysisJob, AnalysisOutcome, Recorded


class AnalysisSource:
    """What every source does whose jobs are analyses."""

    def extend(self, jobs: Sequence[AnalysisJob]) -> None:
        claims.ANALYSES.extend(jobs)

    def record(self, outcomes: Sequence[AnalysisOutcome]) -> None:
        recording.record(outcomes, settle=self.settle)

    def settle(self, recorded: Sequence[Recorded]) -> None:
        """Called inside the transaction that records: update the source's own rows."""

    def put_off(self, outcome: AnalysisOutcome) -> bool:
        """A person waits for the answer: the fault is the answer."""
        return False

    def abandoned(self, jobs: Sequence[AnalysisJob]) -> list[AnalysisJob]:
        """Every answer is wanted."""
        return []


class QueueSource(AnalysisSource):
    """The pending analyses of one lane, oldest first: reruns that a person waits for, or first
    analyses."""

    def __init__(self, lane: Lane) -> None:
        self.lane: str = lane.value
        self._waiting: set[int] = set()

    def claim(self, limit: int) -> list[AnalysisJob]:
        """Take up to ``limit`` analyses that wait or whose worker is gone."""
        return claims.load_jobs(claims.take(lane=self.lane, limit=limit))

    def hand_back(self, jobs: Sequence[AnalysisJob]) -> None:
        claims.ANALYSES.release(jobs)

    def record(self, outcomes: Sequence[AnalysisOutcome]) -> None:
        """Record; a model that answers one that waited for it is there for the others too."""
        super().record(outcomes)
        answered = {o.job.config_id for o in outcomes if not o.error_code}
        self._waiting.update(o.job.config_id for o in outcomes if o.job.tries)
        if back := answered & self._waiting:
            self._waiting -= back
            recovery.release(back)

    def put_off(self, outcome: AnalysisOutcome) -> bool:
        """First analyses wait for their provider; for a rerun a person waits."""
        if outcome.job.trigger != Trigger.INITIAL or not recovery.put_off(outcome):
            return False
        self._waiting.add(outcome.job.config_id)
        return True

    def stopped(self, jobs: Sequence[AnalysisJob]) -> list[AnalysisJob]:
        """Nobody stops a queue."""
        return []

    def pause(self, outcome: AnalysisOutcome) -> bool:
        """A person waits for the answer: it is the reason, as a failure."""
        return False

    def finished(self) -> None:
        """A queue is never finished."""

"""Queues of analyses: what they share, and those of single conversations."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.conf import settings

from apps.conversations.models import Trigger
from apps.llm.client import LlmClient
from apps.llm.errors import PauseReason
from apps.work.queue import Queue, Verdict

from . import claims, record, recovery, reservations
from .jobs import AnalysisJob, AnalysisOutcome, Recorded
from .model_call import MayRepeat, perform
from .models import Lane

#: This many failures of the provider in a row, over this many seconds, and the run is paused.
DOWN_AFTER = 20
DOWN_SECONDS = 10.0
_DOWN_CODES = frozenset({"connection", "timeout", "provider_error"})


@dataclass(slots=True)
class _Health:
    """Whether the provider seems to be down: failures in a row and when they began."""

    failures: int = 0
    since: float = 0.0

    def note(self, outcome: AnalysisOutcome) -> bool:
        """Take an outcome into account; return whether the provider seems to be down."""
        if outcome.error_code not in _DOWN_CODES:
            self.failures = 0
            return False
        if not self.failures:
            self.since = time.monotonic()
        self.failures += 1
        return self.failures >= DOWN_AFTER and time.monotonic() - self.since >= DOWN_SECONDS


class AnalysisQueue(Queue[AnalysisJob, AnalysisOutcome]):
    """What every queue does whose jobs ask a model about a conversation."""

    table = claims.ANALYSES
    client_class = LlmClient

    def __init__(self) -> None:
        self._health = _Health()

    @property
    def concurrency(self) -> int:
        return int(settings.ANALYSIS_CONCURRENCY)

    async def perform(
        self, job: AnalysisJob, client: LlmClient, on_send: Callable[[], None]
    ) -> AnalysisOutcome:
        outcome = await perform(job, client, on_send=on_send, may_repeat=self.may_repeat(job))
        if self._health.note(outcome) and not outcome.pause:
            outcome.pause = PauseReason.PROVIDER_DOWN.value
        return outcome

    def may_repeat(self, job: AnalysisJob) -> MayRepeat | None:
        """Return the question before a further request of a job; None: it is allowed."""
        return None

    def record(self, outcomes: Sequence[AnalysisOutcome]) -> None:
        record.record(outcomes, settle=self.settle)

    def settle(self, recorded: Sequence[Recorded]) -> None:
        """Update the queue's own rows. Called inside the transaction that records."""

    def is_setback(self, outcome: AnalysisOutcome) -> bool:
        return bool(outcome.pause) or outcome.can_wait

    def judge(self, outcome: AnalysisOutcome) -> Verdict:
        if outcome.pause and self.pause(outcome):
            return Verdict.HAND_BACK
        if outcome.can_wait and self.put_off(outcome):
            return Verdict.PUT_OFF
        return Verdict.RECORD

    def charge(self, outcome: AnalysisOutcome) -> None:
        # Its lease is gone, so nothing but its cost is recorded.
        if outcome.usage.total:
            self.record([outcome])

    def pause(self, outcome: AnalysisOutcome) -> bool:
        """Pause the run of a job; return whether that was done. A person waits for a response, and
        gets the reason as a failure."""
        return False

    def put_off(self, outcome: AnalysisOutcome) -> bool:
        """Let a later claim try the job again; return whether that was done."""
        return False


class LaneQueue(AnalysisQueue):
    """The pending analyses of one lane, oldest first: reruns that a person waits for, or first
    analyses."""

    def __init__(self, lane: Lane) -> None:
        super().__init__()
        self.name = lane.value
        self._waiting: set[int] = set()

    def claim(self, limit: int) -> list[AnalysisJob]:
        if self.name == Lane.LIVE:
            return claims.load_jobs(reservations.take_first(limit=limit))
        return claims.load_jobs(claims.take(lane=self.name, limit=limit))

    def hand_back(self, jobs: Sequence[AnalysisJob]) -> None:
        """Give up jobs; what was set aside for a first analysis is free again."""
        setting = "reserved = NULL" if self.name == Lane.LIVE else ""
        self.table.release(jobs, setting=setting)

    def record(self, outcomes: Sequence[AnalysisOutcome]) -> None:
        """Record, and release what waits for a model that has answered again."""
        super().record(outcomes)
        answered = {o.job.config_id for o in outcomes if not o.error_code}
        self._waiting.update(o.job.config_id for o in outcomes if o.job.tries)
        if back := answered & self._waiting:
            self._waiting -= back
            recovery.release(back)

    def put_off(self, outcome: AnalysisOutcome) -> bool:
        """Let first analyses wait for their provider; for a rerun a person waits."""
        if outcome.job.trigger != Trigger.INITIAL or not recovery.put_off(outcome):
            return False
        self._waiting.add(outcome.job.config_id)
        return True

"""The queue of test runs: their items, in the order in which they were requested."""

from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone

from apps.analysis.jobs import AnalysisJob, AnalysisOutcome
from apps.analysis.queues import AnalysisQueue
from apps.analysis.reservations import cap_balances
from apps.llm.errors import ErrorCode
from apps.work.leases import WORN_OUT

from .closing import close_finished
from .item_jobs import load_jobs
from .models import ItemState, Run, RunItem, State
from .trial_caps import keep_within
from .trial_recording import ITEMS, record

#: How many conversations of trials are read at once in a process. Few, so that a person who waits
#: for a rerun never finds more than these before them where a model takes one at a time.
AT_ONCE = 8


class TrialSource(AnalysisQueue):
    """Items of all trials. A job's ``analysis_id`` is the key of its item: there is no analysis."""

    name = "trials"
    table = ITEMS
    concurrency = AT_ONCE

    def claim(self, limit: int) -> list[AnalysisJob]:
        """Take up to ``limit`` items that wait or whose worker is gone."""
        trials = Run.objects.trials()
        runs = dict(trials.active().values_list("pk", "state"))
        if not runs:
            return []
        if State.QUEUED in runs.values():
            queued = trials.filter(pk__in=runs, state=State.QUEUED)
            queued.update(state=State.RUNNING, started_at=timezone.now())
        with transaction.atomic():
            balances = cap_balances()
            taken = ITEMS.take(limit=limit, where="r.run_id = ANY(%(runs)s)", runs=list(runs))
            keys = keep_within(taken.keys, balances) if balances else taken.keys
        _give_up(taken.worn_out)
        jobs = load_jobs(keys)
        # What a worker that is gone had taken of a trial that was cancelled since.
        if over := self.stopped(jobs):
            self.hand_back(over)
        return [job for job in jobs if job not in over]

    def record(self, outcomes: Sequence[AnalysisOutcome]) -> None:
        record(outcomes)

    def hand_back(self, jobs: Sequence[AnalysisJob]) -> None:
        """What was not sent waits again, or is over where its trial was cancelled."""
        with transaction.atomic():
            ITEMS.release(jobs)
            RunItem.objects.filter(
                pk__in=[job.key for job in jobs],
                state=ItemState.PENDING,
                run__state=State.CANCELLING,
            ).update(state=ItemState.SKIPPED, finished_at=timezone.now())

    def stopped(self, jobs: Sequence[AnalysisJob]) -> list[AnalysisJob]:
        """The jobs of trials that were cancelled since they were claimed."""
        rows = RunItem.objects.filter(pk__in=[job.analysis_id for job in jobs])
        going = set(rows.exclude(run__state=State.CANCELLING).values_list("pk", flat=True))
        return [job for job in jobs if job.analysis_id not in going]

    def abandoned(self, jobs: Sequence[AnalysisJob]) -> list[AnalysisJob]:
        """Return the jobs of trials that were canceled."""
        return self.stopped(jobs)

    def finished(self) -> None:
        """Close every run that has nothing left to do."""
        close_finished()


def _give_up(item_ids: Sequence[int]) -> None:
    """Fail what every worker died of, so that it does not go round for ever."""
    if item_ids:
        RunItem.objects.filter(pk__in=item_ids, state=ItemState.RUNNING).update(
            state=ItemState.FAILED,
            error_code=ErrorCode.INTERNAL,
            error_message=WORN_OUT,
            lease_until=None,
            finished_at=timezone.now(),
        )

"""The queue of backfills: items of all active runs, taken in turn."""

from collections.abc import Mapping, Sequence
from functools import partial
from uuid import uuid4

from django.db import transaction

from apps.analysis import claims
from apps.analysis.claims import AnalysisJob, give_way
from apps.analysis.model_call import AnalysisOutcome, MayRepeat
from apps.analysis.queues import AnalysisQueue
from apps.analysis.record import Recorded
from apps.llm.specs import Priority

from . import budgets, recovery
from .closing import close_finished, give_back
from .item_claims import attach, finish_without_request, insert_analyses, pick, settle, start_run
from .lanes import is_economy, tier_of
from .models import ItemState, PauseReason, Run, RunItem, State


class BackfillQueue(AnalysisQueue):
    """Items of queued and running backfills; each run gets its share of every claim.

    ``tier`` limits it to the runs of one service tier; None takes all. Each tier has a runner of
    its own: a slow tier's requests would hold nearly all places, because every free place is
    shared evenly between runs.
    """

    def __init__(self, *, tier: str | None = None) -> None:
        super().__init__()
        self._tier = tier
        self.name = f"{Priority.BACKFILL.value}-{tier}" if tier else Priority.BACKFILL.value

    def claim(self, limit: int) -> list[AnalysisJob]:
        """Take abandoned analyses first, then pending items of the active runs in turn."""
        runs = [
            run
            for run in Run.objects.backfills().claimable().order_by("pk")
            if self._tier in {None, tier_of(run.options).name}
        ]
        if not runs:
            return []
        public_ids = [run.public_id for run in runs]
        ids = claims.claim(priority=Priority.BACKFILL.value, limit=limit, runs=public_ids)
        takers = _takers(runs)
        for position, run in enumerate(takers):
            wanted = limit - len(ids)
            if wanted <= 0:
                break
            share = -(-wanted // (len(takers) - position))
            ids += self._claim_from(run, share)
        return self._with_items(claims.load_jobs(ids), {run.pk: run for run in runs})

    def _claim_from(self, run: Run, limit: int) -> list[int]:
        """Claim items of one run, settling without a request those that meanwhile are done."""
        with transaction.atomic():
            if run.state == State.QUEUED:
                start_run(run)
            picked = pick(run, limit, where="i.direct" if is_economy(run.options) else "true")
            fresh = [p for p in picked if not p.done]
            finish_without_request([p.item_id for p in picked if p.done])
            afforded = budgets.afford(run, fresh)
            fresh = fresh[: afforded.count]
            token = uuid4()
            give_way([p.conversation_id for p in fresh])
            made = insert_analyses(run, fresh, token, afforded.reserved)
            attach(made, [p for p in fresh if p.conversation_id not in made])
        return list(made.values())

    def _with_items(self, jobs: list[AnalysisJob], runs: Mapping[int, Run]) -> list[AnalysisJob]:
        """Name each job's item, by which its run is settled and paused, and the run's tier."""
        found = {
            analysis: (item, backfill)
            for analysis, item, backfill in RunItem.objects.filter(
                conversation_id__in=[job.conversation_id for job in jobs],
                state=ItemState.RUNNING,
                analysis_id__in=[job.analysis_id for job in jobs],
            ).values_list("analysis_id", "pk", "run_id")
        }
        for job in jobs:
            job.item_id, job.backfill_id = found.get(job.analysis_id, (None, None))
            if run := runs.get(job.backfill_id or 0):
                job.tier = tier_of(run.options)
        return jobs

    def may_repeat(self, job: AnalysisJob) -> MayRepeat | None:
        """Let a further request of a job count against the budget, where its run has one."""
        return None if job.reserved is None else partial(budgets.may_repeat, job)

    def settle(self, recorded: Sequence[Recorded]) -> None:
        """Write how the items ended, in the transaction that records their analyses."""
        settle(recorded)

    def hand_back(self, jobs: Sequence[AnalysisJob]) -> None:
        """The analyses that were only begun are taken back and the items wait again."""
        give_back(jobs)

    def stopped(self, jobs: Sequence[AnalysisJob]) -> list[AnalysisJob]:
        """The jobs of runs that were paused or cancelled since they were claimed."""
        runs = {job.backfill_id for job in jobs if job.backfill_id is not None}
        going = set(Run.objects.claimable().filter(pk__in=runs).values_list("pk", flat=True))
        return [job for job in jobs if job.backfill_id not in going]

    def pause(self, outcome: AnalysisOutcome) -> bool:
        """Pause the run that this outcome is of, with the provider's words as the detail."""
        job = outcome.job
        if job.backfill_id is None:
            return False
        if outcome.pause == PauseReason.BUDGET:
            budgets.pause_for_job(job)
            return True
        # What cannot wait any longer fails by itself: its provider answers others.
        is_down = outcome.transient and outcome.pause == PauseReason.PROVIDER_DOWN
        if is_down and not recovery.put_off(outcome):
            return False
        recovery.pause_run(job.backfill_id, outcome)
        return True

    def put_off(self, outcome: AnalysisOutcome) -> bool:
        """Let the item wait a little: an outage is no fault of its own."""
        if not outcome.transient or not recovery.put_off(outcome):
            return False
        self.hand_back([outcome.job])
        return True

    def abandoned(self, jobs: Sequence[AnalysisJob]) -> list[AnalysisJob]:
        """The jobs of runs that were cancelled."""
        runs = {job.backfill_id for job in jobs if job.backfill_id is not None}
        cancelled = Run.objects.filter(pk__in=runs, state=State.CANCELLING)
        ids = set(cancelled.values_list("pk", flat=True)) if runs else set()
        return [job for job in jobs if job.backfill_id in ids]

    def finished(self) -> None:
        """Close every run that has nothing left to do."""
        close_finished()


def _takers(runs: Sequence[Run]) -> Sequence[Run]:
    """Return the runs whose pending items are asked for one by one.

    Of one in the economy lane, these are items for which a batch had no usable response.
    """
    economy = {run.pk for run in runs if is_economy(run.options)}
    if not economy:
        return runs
    items = RunItem.objects.filter(run__in=economy, direct=True, state=ItemState.PENDING)
    direct = set(items.order_by().values_list("run", flat=True).distinct())
    return [run for run in runs if run.pk not in economy or run.pk in direct]

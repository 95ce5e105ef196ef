"""The queue of backfills: items of all active runs, taken in turn."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.utils import timezone

from apps.analysis import claims
from apps.analysis.effects import side_effects_of
from apps.analysis.jobs import AnalysisJob, AnalysisOutcome, Recorded
from apps.analysis.model_call import MayRepeat
from apps.analysis.models import Lane
from apps.analysis.queues import AnalysisQueue
from apps.analysis.recovery import give_way
from apps.analysis.run_claims import NewRunAnalysis, start_for_run

from . import budgets, recovery
from .closing import close_finished, give_back
from .lanes import tier_of
from .models import ItemState, PauseReason, Run, RunItem, State

#: How long an item is left alone while another analysis of its conversation is at work.
RETRY_SECONDS = 5


@dataclass(frozen=True, slots=True)
class _Picked:
    item_id: int
    conversation_id: int
    config_id: int
    version_id: int
    tokens: int
    done: bool


class BackfillSource(AnalysisQueue):
    """Items of queued and running backfills; each run gets its share of every claim.

    ``tier`` limits it to the runs of one service tier; None takes all. Each tier has a runner of
    its own: a slow tier's requests would hold nearly all places, because every free place is
    shared evenly between runs.
    """

    def __init__(self, *, tier: str | None = None) -> None:
        super().__init__()
        self._tier = tier
        self.name = f"{Lane.BACKFILL.value}-{tier}" if tier else Lane.BACKFILL.value

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
        ids = claims.take(lane=Lane.BACKFILL.value, limit=limit, runs=public_ids)
        for position, run in enumerate(runs):
            wanted = limit - len(ids)
            if wanted <= 0:
                break
            share = -(-wanted // (len(runs) - position))
            ids += self._claim_from(run, share)
        return self._with_items(claims.load_jobs(ids), {run.pk: run for run in runs})

    def _claim_from(self, run: Run, limit: int) -> list[int]:
        """Claim items of one run, settling without a request those that meanwhile are done."""
        with transaction.atomic():
            if run.state == State.QUEUED:
                _start(run)
            picked = _pick(run, limit)
            fresh = [p for p in picked if not p.done]
            _finish_without_request([p.item_id for p in picked if p.done])
            afforded = budgets.afford(run, fresh)
            fresh = fresh[: afforded.count]
            token = uuid4()
            give_way([p.conversation_id for p in fresh])
            made = _insert_analyses(run, fresh, token, afforded.reserved)
            _attach(made, [p for p in fresh if p.conversation_id not in made])
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
        rows = [_settled(r) for r in recorded if r.outcome.job.item_id is not None]
        if not rows:
            return
        with connection.cursor() as cursor:
            cursor.execute(_SETTLE, [json.dumps(rows, default=str)])

    def hand_back(self, jobs: Sequence[AnalysisJob]) -> None:
        """The analyses that were only begun are taken back and the items wait again."""
        give_back([job.analysis_id for job in jobs], tokens=[job.token for job in jobs])

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


def _start(run: Run) -> None:
    Run.objects.filter(pk=run.pk, state=State.QUEUED).update(
        state=State.RUNNING, started_at=timezone.now()
    )


_PICK = """
SELECT i.id, i.conversation_id, i.config_id, i.agent_version_id, c.prompt_tokens_est,
  c.analysis_state = 'succeeded' AND NOT c.stale AND c.analysis_config_id = i.config_id
    AND (NOT %(include)s OR c.analyzed_at >= %(created)s)
FROM runs_runitem i JOIN conversations_conversation c ON c.id = i.conversation_id
WHERE i.run_id = %(run)s AND i.state = 'pending'
  AND (i.not_before IS NULL OR i.not_before <= clock_timestamp())
ORDER BY i.id LIMIT %(limit)s FOR UPDATE OF i SKIP LOCKED FOR NO KEY UPDATE OF c SKIP LOCKED
"""


def _pick(run: Run, limit: int) -> list[_Picked]:
    """Lock pending items, unless the run was stopped a moment ago.

    An item whose conversation meanwhile has a result of this very config is *done*: a rerun by
    hand was quicker, and nothing is paid twice. Conversations are locked too, so
    that no such result comes between this look and the claim; one that is just being written
    is left for the next claim.
    """
    still = Run.objects.claimable().filter(pk=run.pk).select_for_update(no_key=True)
    options = still.values_list("options", flat=True).first()
    if options is None:
        return []
    run.options = options  # the budget may have been changed since the run was loaded
    values: dict[str, Any] = {
        "run": run.pk,
        "limit": limit,
        "include": bool(run.options.get("include_analyzed")),
        "created": run.created_at,
    }
    with connection.cursor() as cursor:
        cursor.execute(_PICK, values)
        return [_Picked(*row) for row in cursor.fetchall()]


def _finish_without_request(item_ids: Sequence[int]) -> None:
    """Done by somebody else: the current analysis is what the item would have made."""
    if not item_ids:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE runs_runitem i SET state = 'done', changed = false,"
            " analysis_id = a.id, finished_at = clock_timestamp()"
            " FROM analysis_analysis a"
            " WHERE i.id = ANY(%s) AND a.conversation_id = i.conversation_id AND a.is_current",
            [list(item_ids)],
        )


def _insert_analyses(
    run: Run, picked: Sequence[_Picked], token: UUID, reserved: Sequence[Decimal | None]
) -> dict[int, int]:
    """Begin an analysis for each item whose conversation has none at work: conversation → id."""
    if not picked:
        return {}
    columns = run.columns_by_version()
    return start_for_run(
        [
            NewRunAnalysis(
                p.conversation_id, p.config_id, p.version_id, columns[p.version_id], highest
            )
            for p, highest in zip(picked, reserved, strict=True)
        ],
        run=run.public_id,
        by=run.created_by,
        token=token,
        effects=side_effects_of(run.options),
    )


def _attach(made: dict[int, int], left: Sequence[_Picked]) -> None:
    """Tie items to their analyses; those that lost to another analysis wait a little."""
    if not made and not left:
        return
    with connection.cursor() as cursor:
        if made:
            cursor.execute(
                "UPDATE runs_runitem i SET state = 'running', analysis_id = a.id"
                " FROM analysis_analysis a JOIN runs_run b"
                " ON b.public_id = a.backfill_public_id"
                " WHERE a.id = ANY(%s) AND i.run_id = b.id"
                " AND i.conversation_id = a.conversation_id",
                [list(made.values())],
            )
        if left:
            cursor.execute(
                "UPDATE runs_runitem SET"
                " not_before = clock_timestamp() + make_interval(secs => %s) WHERE id = ANY(%s)",
                [RETRY_SECONDS, [p.item_id for p in left]],
            )


# What an earlier, failed try of the item cost stays in the sum: it was paid. The state before is
# that before the first try.
_SETTLE = """
UPDATE runs_runitem i SET state = v.state, previous_analysis_id = v.previous,
  previous_state = coalesce(nullif(i.previous_state, ''), v.state_before),
  previous_reason = CASE i.previous_state WHEN '' THEN v.reason_before ELSE i.previous_reason END,
  changed = v.changed, error_code = v.code, error_message = v.message,
  cost = coalesce(i.cost, 0) + v.cost, input_tokens = i.input_tokens + v.input,
  output_tokens = i.output_tokens + v.output, finished_at = clock_timestamp()
FROM jsonb_to_recordset(%s::jsonb) AS v(id bigint, state text, previous bigint, changed boolean,
  state_before text, reason_before text, code text, message text, cost numeric, input int,
  output int)
WHERE i.id = v.id
"""


def _settled(r: Recorded) -> dict[str, Any]:
    o = r.outcome
    failed = bool(o.error_code)
    return {
        "id": o.job.item_id,
        "state": ItemState.FAILED if failed else ItemState.DONE,
        "previous": None if failed else r.previous_id,
        "changed": None if failed else r.changed,
        "state_before": r.state_before[0],
        "reason_before": r.state_before[1],
        "code": o.error_code,
        "message": o.error_message[:2000] if failed else "",
        "cost": r.cost,
        "input": o.usage.input,
        "output": o.usage.output,
    }

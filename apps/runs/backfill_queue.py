"""The queue of backfills: items of all active runs, claimed in turn, and settled.

The statements are parts of others' transactions. The economy lane claims and settles with the same
ones, and test runs load their items so.
"""

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
from apps.analysis.claims import (
    AnalysisJob,
    NewRunAnalysis,
    give_way,
    read_jobs,
    start_for_run,
)
from apps.analysis.effects import side_effects_of
from apps.analysis.model_call import AnalysisOutcome, MayRepeat
from apps.analysis.queues import AnalysisQueue
from apps.analysis.record import Recorded
from apps.llm.specs import Priority

from . import budgets, recovery
from .closing import close_finished, give_back
from .lanes import is_economy, tier_of
from .models import ItemState, PauseReason, Run, RunItem, State

RETRY_SECONDS = 5
"""How long an item is left alone while another analysis of its conversation is running."""


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
        """Claim items of one run, and settle those that were done in the meantime."""
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
        """Return the jobs of runs that were paused or canceled since they were claimed."""
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
        """Let the item wait a little: the item didn't cause the outage."""
        if not outcome.transient or not recovery.put_off(outcome):
            return False
        self.hand_back([outcome.job])
        return True

    def abandoned(self, jobs: Sequence[AnalysisJob]) -> list[AnalysisJob]:
        """Return the jobs of runs that were canceled."""
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


@dataclass(frozen=True, slots=True)
class Picked:
    item_id: int
    conversation_id: int
    config_id: int
    version_id: int
    tokens: int
    done: bool


def start_run(run: Run) -> None:
    Run.objects.filter(pk=run.pk, state=State.QUEUED).update(
        state=State.RUNNING, started_at=timezone.now()
    )


_PICK = """
SELECT i.id, i.conversation_id, i.config_id, i.agent_version_id, c.prompt_tokens_est,
  c.analysis_state = 'succeeded' AND NOT c.stale AND c.analysis_config_id = i.config_id
    AND (NOT %(include)s OR c.analyzed_at >= %(created)s)
FROM runs_runitem i JOIN conversations_conversation c ON c.id = i.conversation_id
WHERE i.run_id = %(run)s AND i.state = 'pending'
  AND (i.not_before IS NULL OR i.not_before <= clock_timestamp()) AND {where}
ORDER BY i.id LIMIT %(limit)s FOR UPDATE OF i SKIP LOCKED FOR NO KEY UPDATE OF c SKIP LOCKED
"""


def pick(run: Run, limit: int, *, where: str = "true", **more: Any) -> list[Picked]:
    """Lock pending items ``i``, unless the run was stopped a moment ago.

    An item whose conversation got a result of the same config in the meantime is *done*: a rerun
    was faster, and nothing is paid twice. Conversations are locked too, so that no result arrives
    between this check and the claim. A conversation that is being written is left to the next
    claim.
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
        **more,
    }
    with connection.cursor() as cursor:
        cursor.execute(_PICK.format(where=where), values)
        return [Picked(*row) for row in cursor.fetchall()]


def finish_without_request(item_ids: Sequence[int]) -> None:
    """Mark items as done whose conversation already has the result that they would make."""
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


def insert_analyses(
    run: Run, picked: Sequence[Picked], token: UUID, reserved: Sequence[Decimal | None]
) -> dict[int, int]:
    """Begin an analysis for each item whose conversation has none open: conversation → id."""
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


def attach(made: dict[int, int], left: Sequence[Picked]) -> None:
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


# The trigger is that of no analysis: a model that is free on first run is charged here.
_LOAD = """
SELECT i.id, t.public_id, i.lease_token, c.id, c.public_id, g.public_id, '',
  t.created_by, '{}', i.config_id, c.channel, c.started_at, c.duration_ms, c.direction,
  coalesce(s.messages, '[]'), '', 'interactive', 'off', 0,
  c.prompt_tokens_est, true, g.id, i.reserved
FROM runs_runitem i
JOIN runs_run t ON t.id = i.run_id
JOIN conversations_conversation c ON c.id = i.conversation_id
JOIN agents_agentversion v ON v.id = i.agent_version_id
JOIN agents_agent g ON g.id = v.agent_id
LEFT JOIN conversations_transcript s ON s.conversation_id = c.id
WHERE i.id = ANY(%s) ORDER BY i.id
"""


def load_jobs(item_ids: Sequence[int]) -> list[AnalysisJob]:
    """Load everything that requests about these items need, in two queries.

    A job's ``analysis_id`` is the key of its item: there is no analysis.
    """
    return read_jobs(_LOAD, item_ids)


# What an earlier, failed try of the item cost stays in the sum: it was paid. The state before is
# that before the first try.
_SETTLE = """
UPDATE runs_runitem i SET state = v.state, previous_analysis_id = v.previous,
  previous_state = coalesce(nullif(i.previous_state, ''), v.state_before),
  previous_reason = CASE i.previous_state WHEN '' THEN v.reason_before ELSE i.previous_reason END,
  changed = v.changed, error_code = v.code, error_message = v.message,
  cost = coalesce(i.cost, 0) + v.cost, input_tokens = i.input_tokens + v.input,
  output_tokens = i.output_tokens + v.output, finished_at = clock_timestamp(), shipment_id = NULL
FROM jsonb_to_recordset(%s::jsonb) AS v(id bigint, state text, previous bigint, changed boolean,
  state_before text, reason_before text, code text, message text, cost numeric, input int,
  output int)
WHERE i.id = v.id
"""


def settle(recorded: Sequence[Recorded]) -> None:
    """Write how items ended, in the transaction that records their analyses."""
    rows = [_settled(r) for r in recorded if r.outcome.job.item_id is not None]
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(_SETTLE, [json.dumps(rows, default=str)])


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

"""The queue of test runs: their items, in the order in which they were requested.

Their results are recorded on the items, and their costs in the ledger: no analysis is made,
nothing becomes current, and no webhook is sent. Items are claimed as far as the spending caps
allow, and hold the money of their requests.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.agents.models import AgentVersion
from apps.analysis.claims import AnalysisJob
from apps.analysis.estimates import highest_cost_of
from apps.analysis.model_call import AnalysisOutcome
from apps.analysis.queues import AnalysisQueue
from apps.analysis.record import RAW_LIMIT, charged_cost, ledger_rows
from apps.analysis.results import column_row, values_if_recorded
from apps.conversations.derived.evaluation import ResultFacts
from apps.conversations.models import Trigger
from apps.llm import ledger
from apps.llm.models import Purpose
from apps.llm.reservations import cap_balances, hold
from apps.runs.backfill_queue import load_jobs
from apps.runs.closing import close_finished
from apps.runs.models import ItemState, Run, RunItem, State
from apps.work.queue import LeasedTable, write_outcomes

ITEMS = LeasedTable("runs_runitem", seconds=settings.ANALYSIS_LEASE_SECONDS)
#: How many conversations of test runs are read at once in a process. Few, so that a person who
#: waits for a rerun never finds more than these before them where a model takes one at a time.
AT_ONCE = 8


class TrialQueue(AnalysisQueue):
    """Items of all test runs. A job's ``analysis_id`` is the key of its item."""

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
            claimed = ITEMS.claim(limit=limit, where="r.run_id = ANY(%(runs)s)", runs=list(runs))
            jobs = load_jobs(claimed.keys)
            # A price that was removed since the start holds nothing up: the start asks for it.
            requests = {
                job.key: (job.agent_public_id, highest_cost_of(job) or Decimal(0)) for job in jobs
            }
            kept = hold(ITEMS, requests, cap_balances())
        ITEMS.give_up(claimed.exhausted)
        jobs = [job for job in jobs if job.key in kept]
        # Items of a test run that was canceled after a worker that is gone had claimed them.
        if over := self.stopped(jobs):
            self.hand_back(over)
        return [job for job in jobs if job not in over]

    def record(self, outcomes: Sequence[AnalysisOutcome]) -> None:
        """Record a group of outcomes with their costs, in one transaction.

        The ledger gets the costs even if another worker holds the item now, or the item was erased
        with its conversation. Raises OperationalError or InterfaceError when the database is
        unavailable.
        """
        at = timezone.now()
        write_outcomes(
            outcomes,
            lambda group: _write_group(group, at),
            without_answer=AnalysisOutcome.without_answer,
        )

    def hand_back(self, jobs: Sequence[AnalysisJob]) -> None:
        """Release unsent items, or skip them if their test run was canceled."""
        with transaction.atomic():
            ITEMS.release(jobs, setting="reserved = NULL")
            RunItem.objects.filter(
                pk__in=[job.key for job in jobs],
                state=ItemState.PENDING,
                run__state=State.CANCELLING,
            ).update(state=ItemState.SKIPPED, finished_at=timezone.now())

    def stopped(self, jobs: Sequence[AnalysisJob]) -> list[AnalysisJob]:
        """Return the jobs of test runs that were canceled since they were claimed."""
        rows = RunItem.objects.filter(pk__in=[job.analysis_id for job in jobs])
        going = set(rows.exclude(run__state=State.CANCELLING).values_list("pk", flat=True))
        return [job for job in jobs if job.analysis_id not in going]

    def abandoned(self, jobs: Sequence[AnalysisJob]) -> list[AnalysisJob]:
        """Return the jobs of test runs that were canceled."""
        return self.stopped(jobs)

    def finished(self) -> None:
        """Close every run that has nothing left to do."""
        close_finished()


_RECORDED = (
    *("state", "output", "missing_required", "truncated", "raw_output"),
    *("error_code", "error_message", "input_tokens", "output_tokens", "cost", "latency_ms"),
    *("lease_until", "reserved", "finished_at"),
)


def _write_group(outcomes: Sequence[AnalysisOutcome], now: datetime) -> None:
    _add_derived(outcomes, now)
    with transaction.atomic():
        states = ITEMS.lock([o.job for o in outcomes])
        mine = {o.job.key: o for o in outcomes if states.get(o.job.key) == ItemState.RUNNING}
        # Already final: the commit succeeded but its confirmation was lost.
        done = {pk for pk, state in states.items() if state != ItemState.RUNNING}
        items = RunItem.objects.in_bulk(mine)
        rows = [_settled(items[pk], o, now) for pk, o in mine.items()]
        RunItem.objects.bulk_update(rows, _RECORDED)
        ledger.write(
            row
            for o in outcomes
            if o.requests and o.job.analysis_id not in done
            for row in ledger_rows(o, Purpose.TRY_IT, now)
        )


def _add_derived(outcomes: Sequence[AnalysisOutcome], now: datetime) -> None:
    """Add the derived fields that the outputs would have as results.

    Before the items are locked: an erasure locks conversations first. And one test run after the
    other: a conversation may be in several.
    """
    good = [o for o in outcomes if not o.error_code and o.output is not None]
    versions = _versions(good)
    by_run: dict[str, list[AnalysisOutcome]] = {}
    for o in good:
        if o.job.key in versions:
            by_run.setdefault(o.job.public_id, []).append(o)
    for group in by_run.values():
        derived = values_if_recorded(
            [_columns(o, versions[o.job.key], now) for o in group], [_facts(o) for o in group]
        )
        for o in group:
            o.output = {**(o.output or {}), **derived.get(o.job.conversation_id, {})}


def _versions(outcomes: Sequence[AnalysisOutcome]) -> dict[int, AgentVersion]:
    """Return the version that read each item."""
    items = RunItem.objects.filter(pk__in=[o.job.key for o in outcomes])
    return {item.pk: item.agent_version for item in items.select_related("agent_version")}


def _columns(o: AnalysisOutcome, version: AgentVersion, now: datetime) -> dict[str, Any]:
    return column_row(
        conversation_id=o.job.conversation_id,
        output=o.output or {},
        columns=version.columns.as_dict(),
        missing_required=o.missing_required,
        config_id=o.job.config_id,
        trigger=Trigger.RERUN,
        model=o.job.spec.name,
        cost=charged_cost(o),
        at=now,
    )


def _facts(o: AnalysisOutcome) -> ResultFacts:
    return ResultFacts(
        o.job.conversation_id, o.job.facts.channel, o.job.agent_id, o.job.config.field_names()
    )


def _settled(item: RunItem, o: AnalysisOutcome, now: datetime) -> RunItem:
    item.state = ItemState.FAILED if o.error_code else ItemState.DONE
    item.output = None if o.error_code else o.output
    item.missing_required = o.missing_required
    item.truncated = o.truncated
    item.raw_output = o.raw_output[:RAW_LIMIT]
    item.error_code, item.error_message = o.error_code, o.error_message[:2000]
    item.input_tokens, item.output_tokens = o.usage.input, o.usage.output
    item.cost = charged_cost(o)
    item.latency_ms = o.latency_ms
    item.lease_until, item.reserved, item.finished_at = None, None, now
    return item

"""Record the results of test runs: their items, and the ledger next to them.

No analysis is made, nothing becomes current, nobody is told.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.agents.models import AgentVersion
from apps.agents.plans import columns_of
from apps.analysis.jobs import AnalysisOutcome
from apps.analysis.record import RAW_LIMIT, charged_cost, ledger_rows
from apps.analysis.results import column_row, values_if_recorded
from apps.conversations.derived.evaluation import ResultFacts
from apps.conversations.models import Trigger
from apps.llm import ledger
from apps.llm.models import Purpose
from apps.work.leases import LeasedTable
from apps.work.queue import record_group

from .models import ItemState, RunItem

ITEMS = LeasedTable("runs_runitem", seconds=settings.ANALYSIS_LEASE_SECONDS)

_RECORDED = (
    *("state", "output", "missing_required", "truncated", "raw_output"),
    *("error_code", "error_message", "input_tokens", "output_tokens", "cost", "latency_ms"),
    *("lease_until", "finished_at"),
)


def record(outcomes: Sequence[AnalysisOutcome], *, now: datetime | None = None) -> None:
    """Record a group of outcomes with what they cost, in one transaction.

    What was spent is in the ledger also where the item is not ours any more, or was erased with
    its conversation. Raises OperationalError or InterfaceError when the database is away.
    """
    at = now or timezone.now()
    record_group(
        outcomes,
        lambda group: _record_group(group, at),
        without_answer=AnalysisOutcome.without_answer,
    )


def _record_group(outcomes: Sequence[AnalysisOutcome], now: datetime) -> None:
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
        columns=columns_of(version).as_dict(),
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
    item.lease_until, item.finished_at = None, now
    return item

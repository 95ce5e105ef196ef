"""Record the results of test runs: their items, and the ledger next to them.

No analysis is made, nothing becomes current, nobody is told.
"""

from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.analysis.jobs import AnalysisOutcome
from apps.analysis.record import RAW_LIMIT, charged_cost, ledger_row
from apps.llm import ledger
from apps.llm.models import Purpose
from apps.work.leases import LeasedTable
from apps.work.record import record_group

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
    with transaction.atomic():
        states = ITEMS.lock([o.job for o in outcomes])
        mine = {o.job.key: o for o in outcomes if states.get(o.job.key) == ItemState.RUNNING}
        # Already final: the commit succeeded but its confirmation was lost.
        done = {pk for pk, state in states.items() if state != ItemState.RUNNING}
        items = RunItem.objects.in_bulk(mine)
        rows = [_settled(items[pk], o, now) for pk, o in mine.items()]
        RunItem.objects.bulk_update(rows, _RECORDED)
        ledger.write(
            ledger_row(o, Purpose.TRY_IT, now)
            for o in outcomes
            if o.requests and o.job.analysis_id not in done
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

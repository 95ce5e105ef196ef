"""Record the outcomes of analyses.

A group of outcomes is one transaction of a handful of statements, whatever its size: analyses,
result columns, ledger, search words, and the rows of the queue that gave out the work. Nothing
slow is inside: no model, no network.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from apps.conversations.derived.evaluation import ResultFacts
from apps.conversations.results import NewResult, mark_failed, write_result_columns
from apps.llm import ledger
from apps.llm.models import Purpose, Usage
from apps.llm.pricing import FLEX, REDUCED, charged_prices, cost
from apps.llm.services import usage_row
from apps.llm.specs import TokenUsage
from apps.work.queue import write_outcomes

from .claims import ANALYSES
from .effects import emit_events
from .model_call import AnalysisOutcome
from .models import State
from .results import (
    NewOutput,
    add_derived,
    changed_fields,
    column_row,
    distribute,
    lock_conversations,
    retire_current,
)

#: Longest unusable answer that is kept for a person to look at, in characters.
RAW_LIMIT = 64_000


@dataclass(frozen=True, slots=True)
class Recorded:
    """What recording an outcome found, for the queue to settle its own rows by.

    ``state_before`` is the conversation's analysis state and reason until then. ``changes`` names
    the fields that differ from the result that was current before.
    """

    outcome: AnalysisOutcome
    previous_id: int | None
    state_before: tuple[str, str]
    changes: tuple[str, ...]
    cost: Decimal | None

    @property
    def changed(self) -> bool:
        """Return whether any value differs."""
        return bool(self.changes)

    @property
    def is_told(self) -> bool:
        """Return whether the job's side effects send webhooks for this result."""
        job = self.outcome.job
        return job.side_effects.notifies(self.changes, failed=bool(self.outcome.error_code))


Settle = Callable[[Sequence[Recorded]], None]


def record(
    outcomes: Sequence[AnalysisOutcome], *, settle: Settle, now: datetime | None = None
) -> None:
    """Record a group of outcomes; if one of them breaks the group, record them one by one.

    Raises OperationalError or InterfaceError when the database is unavailable: the caller keeps
    the outcomes and tries again. An outcome counts only while its job still holds its lease: a
    worker whose leases expired records nothing but its costs.
    """
    at = now or timezone.now()
    write_outcomes(
        outcomes,
        lambda group: _write_group(group, settle, at),
        without_answer=AnalysisOutcome.without_answer,
    )


def _write_group(outcomes: Sequence[AnalysisOutcome], settle: Settle, now: datetime) -> None:
    """Write a group in one transaction: results of jobs that are still held, costs of all."""
    with transaction.atomic():
        states = lock_conversations(o.job.conversation_id for o in outcomes)
        held = ANALYSES.lock([o.job for o in outcomes])
        # One of ours that is final was recorded by a transaction whose confirmation was lost.
        recorded = {pk for pk, state in held.items() if state != State.RUNNING}
        kept = [o for o in outcomes if held.get(o.job.analysis_id) == State.RUNNING]
        if kept:
            _write_kept(kept, states, settle, now)
        ledger.write(
            row
            for o in outcomes
            if o.requests and o.job.analysis_id not in recorded
            for row in ledger_rows(
                o,
                Purpose.ANALYSIS,
                now,
                analysis_id=o.job.public_id,
                backfill_id=o.job.backfill_public_id,
            )
        )


def _write_kept(
    kept: Sequence[AnalysisOutcome],
    states: Mapping[int, tuple[str, str]],
    settle: Settle,
    now: datetime,
) -> None:
    """Write the outcomes of jobs that still hold their leases, and all that follows from them."""
    good = [o for o in kept if not o.error_code]
    previous = retire_current([o.job.conversation_id for o in good])
    _finish_analyses(kept, now)
    write_result_columns([_column_row(o, now) for o in good])
    add_derived([_new_output(o) for o in good])
    mark_failed([(o.job.conversation_id, o.error_code) for o in kept if o.error_code])
    rows = [_recorded(o, previous, states[o.job.conversation_id]) for o in kept]
    settle(rows)
    emit_events({r.outcome.job.analysis_id: r.changes for r in rows if r.is_told})
    distribute([_new_result(o, o.job.conversation_id in previous) for o in good], now=now)


_FINISH = """
UPDATE analysis_analysis a SET
  state = v.state, is_current = v.is_current, output = v.output, field_order = v.field_order,
  missing_required = v.missing_required, raw_output = v.raw_output, error_code = v.error_code,
  error_message = v.error_message, request_id = v.request_id, requests = v.requests,
  input_tokens = v.input_tokens, cached_tokens = v.cached_tokens,
  output_tokens = v.output_tokens, usage_estimated = v.usage_estimated,
  usage_note = v.usage_note, prices = v.prices, cost = v.cost, latency_ms = v.latency_ms,
  messages_read = v.messages_read, truncated = v.truncated, model = v.model,
  started_at = coalesce(v.started_at, a.started_at), finished_at = %s, lease_until = NULL,
  reserved = NULL
FROM jsonb_to_recordset(%s::jsonb) AS v(
  id bigint, state text, is_current boolean, output jsonb, field_order jsonb,
  missing_required jsonb, raw_output text, error_code text, error_message text,
  request_id text, requests int, input_tokens int, cached_tokens int, output_tokens int,
  usage_estimated boolean, usage_note text,
  prices jsonb, cost numeric, latency_ms int, messages_read int, truncated boolean, model text,
  started_at timestamptz)
WHERE a.id = v.id
"""


def _finish_analyses(outcomes: Sequence[AnalysisOutcome], now: datetime) -> None:
    rows = json.dumps([_analysis_row(o) for o in outcomes], ensure_ascii=False, default=str)
    with connection.cursor() as cursor:
        cursor.execute(_FINISH, [now, rows])


def _analysis_row(o: AnalysisOutcome) -> dict[str, Any]:
    ok = not o.error_code
    return {
        "id": o.job.analysis_id,
        "state": State.SUCCEEDED if ok else State.FAILED,
        "is_current": ok,
        "output": o.output if ok else None,
        "field_order": list(o.job.config.field_names()),
        "missing_required": o.missing_required,
        "raw_output": o.raw_output[:RAW_LIMIT],
        "error_code": o.error_code,
        "error_message": o.error_message[:2000],
        "request_id": o.request_id[:200],
        "requests": o.requests,
        "input_tokens": o.usage.input,
        "cached_tokens": o.usage.cached,
        "output_tokens": o.usage.output,
        "usage_estimated": o.usage_estimated,
        "usage_note": o.usage_note[:200],
        "prices": _prices(o),
        "cost": charged_cost(o),
        "latency_ms": o.latency_ms,
        "messages_read": o.messages_read,
        "truncated": o.truncated,
        "model": o.job.spec.name,
        "started_at": o.started_at,
    }


def _prices(o: AnalysisOutcome) -> dict[str, str | None]:
    """Return the prices of an analysis, those of the standard tier where it was asked, too.

    Another tier is named.
    """
    [(tier, _, _), *_] = _by_tier(o)
    prices = charged_prices(o.job.spec, trigger=o.job.trigger, tier=tier, at=o.started_at)
    return {
        "input": _decimal(prices.input),
        "cached": _decimal(prices.cached),
        "output": _decimal(prices.output),
        **({"tier": tier} if tier in REDUCED else {}),
    }


def _decimal(value: object) -> str | None:
    return None if value is None else str(value)


def charged_cost(o: AnalysisOutcome) -> Decimal | None:
    """Return what an outcome cost; None where the model has no price."""
    costs = [
        cost(usage, charged_prices(o.job.spec, trigger=o.job.trigger, tier=tier, at=o.started_at))
        for tier, usage, _ in _by_tier(o)
    ]
    paid = [one for one in costs if one is not None]
    return sum(paid, Decimal(0)) if len(paid) == len(costs) else None


def ledger_rows(o: AnalysisOutcome, purpose: Purpose, now: datetime, **ids: str) -> list[Usage]:
    """Return the rows of the ledger for what an outcome cost, one for each service tier.

    ``ids`` are of its analysis or run.
    """
    return [
        usage_row(
            spec=o.job.spec,
            purpose=purpose,
            usage=usage,
            tier=tier,
            estimated=o.usage_estimated,
            requests=requests,
            trigger=o.job.trigger,
            who=o.job.requested_by,
            agent_id=o.job.agent_public_id,
            conversation_id=o.job.conversation_public_id,
            at=now,
            sent_at=o.started_at,
            **ids,
        )
        for tier, usage, requests in _by_tier(o)
    ]


def _by_tier(o: AnalysisOutcome) -> list[tuple[str, TokenUsage, int]]:
    """Split the tokens and requests of an outcome by tier, the standard one first."""
    standard = o.usage - o.flex_usage
    if not o.flex_usage.total:
        return [(o.tier, o.usage, o.requests)]
    if not standard.total:
        return [(FLEX, o.usage, o.requests)]
    return [("", standard, o.requests - 1), (FLEX, o.flex_usage, 1)]


def _column_row(o: AnalysisOutcome, now: datetime) -> dict[str, Any]:
    return column_row(
        conversation_id=o.job.conversation_id,
        output=o.output or {},
        columns=o.job.columns,
        missing_required=o.missing_required,
        config_id=o.job.config_id,
        trigger=o.job.trigger,
        model=o.job.spec.name,
        cost=charged_cost(o),
        at=now,
        messages=len(o.job.messages),
    )


def _new_output(o: AnalysisOutcome) -> NewOutput:
    if o.output is None:
        o.output = {}
    facts = ResultFacts(
        o.job.conversation_id, o.job.facts.channel, o.job.agent_id, o.job.config.field_names()
    )
    return NewOutput(o.job.analysis_id, facts, o.output)


def _new_result(o: AnalysisOutcome, replaces: bool) -> NewResult:  # noqa: FBT001
    return NewResult(
        conversation_id=o.job.conversation_id,
        agent_id=o.job.agent_id,
        analysis=o.job.public_id,
        values=o.output or {},
        trigger=o.job.trigger,
        by=o.job.requested_by,
        contacts=o.job.side_effects.contacts,
        notifies=o.job.side_effects.webhooks != "off",
        replaces=replaces,
    )


def _recorded(
    o: AnalysisOutcome,
    previous: Mapping[int, tuple[int, dict[str, Any]]],
    state_before: tuple[str, str],
) -> Recorded:
    before_id, before = previous.get(o.job.conversation_id, (None, {}))
    changes = () if o.error_code else tuple(changed_fields(before, o.output or {}))
    return Recorded(o, before_id, state_before, changes, charged_cost(o))

"""Record the lines of a batch's result, as live responses are recorded.

A chunk of lines is one transaction: analyses are started, judged, and recorded, items settled,
and money booked, or nothing of it. An item leaves its shipment there. So a line that comes twice,
or a file that is read again after a crash, finds nothing left to do.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from apps.agents.models import AgentVersion
from apps.analysis import record, reservations
from apps.analysis.claims import AnalysisJob, give_way, load_configs, load_jobs
from apps.analysis.model_call import AnalysisOutcome, LineOutcome, judge_line
from apps.analysis.prompts import TranscriptTooLong
from apps.analysis.results import lock_conversations
from apps.conversations.models import Trigger
from apps.llm import ledger
from apps.llm.batch_lines import Next, usage_in
from apps.llm.errors import ErrorCode
from apps.llm.models import Purpose, Usage
from apps.llm.pricing import BATCH
from apps.llm.services import usage_row
from apps.llm.specs import TokenUsage
from apps.runs.backfill_queue import Picked, attach, insert_analyses, settle
from apps.runs.closing import give_back
from apps.runs.models import ItemState, RunItem, Shipment, SkipReason

from .contents import LineName

Line = Mapping[str, Any]

MOST_ATTEMPTS = 2
"""An item that failed in this many batches, or was missing in them, is asked for directly."""


@dataclass(slots=True)
class Chunk:
    """The outcome of a chunk of lines. ``later``: items whose conversations are being analyzed.

    ``pause`` is the outcome of a line that asks for a pause of the run.
    """

    recorded: int = 0
    returned: int = 0
    later: set[int] = field(default_factory=set)
    pause: AnalysisOutcome | None = None


@dataclass(frozen=True, slots=True)
class _Leased:
    """An item of the shipment as it is now. ``is_current``: no newer result has come in."""

    item_id: int
    conversation_id: int | None
    config_id: int
    version_id: int
    attempt: int
    is_current: bool


_LEASED = """
SELECT i.id, i.conversation_id, i.config_id, i.agent_version_id, i.attempts,
  NOT EXISTS (SELECT 1 FROM analysis_analysis a
    WHERE a.conversation_id = i.conversation_id AND a.is_current AND a.trigger <> 'computed'
      AND a.id IS DISTINCT FROM i.previous_analysis_id)
FROM runs_runitem i
WHERE i.id = ANY(%s) AND i.shipment_id = %s
  AND (i.state = 'running' AND i.analysis_id IS NULL OR i.conversation_id IS NULL)
ORDER BY i.id FOR UPDATE OF i
"""


def named_lines(lines: Iterable[Line]) -> dict[int, tuple[LineName, Line]]:
    """Return lines by their item, the first of each; lines of unknown names are left out."""
    found: dict[int, tuple[LineName, Line]] = {}
    for line in lines:
        if name := LineName.parse(line["custom_id"]):
            found.setdefault(name.item_id, (name, line))
    return found


def record_lines(shipment: Shipment, lines: Iterable[Line]) -> Chunk:
    """Record what a chunk of lines says about items that are still leased to the shipment."""
    named = named_lines(lines)
    chunk = Chunk()
    with transaction.atomic():
        items = _lock(shipment, named)
        fresh = [i for i in items if i.conversation_id is not None and i.is_current]
        outdated = [i for i in items if i not in fresh]
        made = _start(shipment, fresh)
        judged = [_judge(job, *named[job.item_id or 0]) for job in made]
        for one in judged:
            one.outcome.started_at = shipment.sent_at
        chunk.later = {i.item_id for i in fresh} - {job.item_id or 0 for job in made}
        back = [one for one in judged if one.next is not Next.DONE]
        _give_back(back)
        _skip(outdated, {i.item_id: usage_in(named[i.item_id][1]) for i in outdated})
        ledger.write([*_charges_of(shipment, outdated, named), *_charges(back)])
        chunk.recorded = len(judged) - len(back) + len(outdated)
        chunk.returned = len(back)
        _lower(shipment, chunk.recorded + chunk.returned)
        # Last: it locks the sums of the day.
        done = [one.outcome for one in judged if one.next is Next.DONE]
        if done:
            record.record(done, settle=settle)
    chunk.pause = next((one.outcome for one in back if one.outcome.pause), None)
    return chunk


def _lock(shipment: Shipment, named: Mapping[int, tuple[LineName, Line]]) -> list[_Leased]:
    """Lock the conversations and items that these lines are about, in that order."""
    found = _lock_items(shipment, list(named))
    return [item for item in found if item.attempt == named[item.item_id][0].attempt]


def _lock_items(shipment: Shipment, item_ids: Sequence[int]) -> list[_Leased]:
    """Lock the conversations of items of a shipment, then the items, and return these."""
    rows = RunItem.objects.filter(pk__in=item_ids, shipment=shipment, conversation__isnull=False)
    lock_conversations(rows.values_list("conversation_id", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(_LEASED, [list(item_ids), shipment.pk])
        return [_Leased(*row) for row in cursor.fetchall()]


def _start(shipment: Shipment, items: Sequence[_Leased]) -> list[AnalysisJob]:
    """Start an analysis for each item whose conversation has none open; return their jobs."""
    run = shipment.run
    by_conversation = {i.conversation_id: i for i in items if i.conversation_id is not None}
    give_way(list(by_conversation))
    picked = [
        Picked(i.item_id, conversation, i.config_id, i.version_id, 0, done=False)
        for conversation, i in by_conversation.items()
    ]
    made = insert_analyses(run, picked, uuid4(), [None] * len(picked))
    attach(made, [])
    jobs = load_jobs(list(made.values()))
    for job in jobs:
        job.item_id, job.backfill_id = by_conversation[job.conversation_id].item_id, run.pk
    return jobs


def _judge(job: AnalysisJob, name: LineName, line: Line) -> LineOutcome:
    """Return what a line says about a job, which is read as it was when the line was sent."""
    job.messages = job.messages[: name.messages]
    try:
        judged = judge_line(job, line)
        fails = judged.next is Next.AGAIN and not judged.unsent and not judged.outcome.pause
        if fails and name.attempt >= MOST_ATTEMPTS:
            return replace(judged, next=Next.DIRECT)
        return judged
    except TranscriptTooLong as error:
        outcome = AnalysisOutcome(
            job,
            error_code=ErrorCode.TRANSCRIPT_TOO_LONG,
            error_message=str(error),
            usage=usage_in(line),
            tier=BATCH,
            requests=1,
        )
        return LineOutcome(outcome, Next.DONE)


def _give_back(back: Sequence[LineOutcome]) -> None:
    """Queue items again: for another batch, or to be asked for directly."""
    jobs = [one.outcome.job for one in back]
    give_back(jobs)
    direct = [one.outcome.job.item_id or 0 for one in back if one.next is Next.DIRECT]
    RunItem.objects.filter(pk__in=direct).update(direct=True)
    _add_costs(
        {
            one.outcome.job.item_id or 0: (record.charged_cost(one.outcome), one.outcome.usage)
            for one in back
            if one.outcome.usage.total
        }
    )


_COSTS = """
UPDATE runs_runitem i SET cost = coalesce(i.cost, 0) + v.cost,
  input_tokens = i.input_tokens + v.input, output_tokens = i.output_tokens + v.output
FROM unnest(%s::bigint[], %s::numeric[], %s::int[], %s::int[]) AS v(id, cost, input, output)
WHERE i.id = v.id
"""


def _add_costs(costs: Mapping[int, tuple[Decimal | None, TokenUsage]]) -> None:
    if costs:
        with connection.cursor() as cursor:
            paid = [cost for cost, _ in costs.values()]
            usages = [usage for _, usage in costs.values()]
            columns = [[u.input for u in usages], [u.output for u in usages]]
            cursor.execute(_COSTS, [list(costs), paid, *columns])


def _skip(items: Sequence[_Leased], usages: Mapping[int, TokenUsage]) -> None:
    """End items that a newer result, or an erasure, has overtaken. Their responses are paid."""
    rows = RunItem.objects.filter(pk__in=[i.item_id for i in items])
    rows.filter(state=ItemState.RUNNING).update(
        state=ItemState.SKIPPED, skip_reason=SkipReason.RERUN_SINCE, finished_at=timezone.now()
    )
    rows.update(shipment=None)


def _charges(back: Sequence[LineOutcome]) -> list[Usage]:
    """Return the rows of the ledger for responses that no one can use."""
    return [
        row
        for one in back
        if one.outcome.usage.total
        for row in record.ledger_rows(
            one.outcome,
            Purpose.ANALYSIS,
            timezone.now(),
            backfill_id=one.outcome.job.backfill_public_id,
        )
    ]


def _charges_of(
    shipment: Shipment, items: Sequence[_Leased], named: Mapping[int, tuple[LineName, Line]]
) -> list[Usage]:
    """Return the rows of the ledger for items that were overtaken, and add them to the items."""
    configs = load_configs({i.config_id for i in items})
    versions = AgentVersion.objects.filter(pk__in={i.version_id for i in items})
    agents = dict(versions.values_list("pk", "agent__public_id"))
    rows: dict[int, Usage] = {}
    for item in items:
        usage = usage_in(named[item.item_id][1])
        if usage.total:
            rows[item.item_id] = usage_row(
                spec=configs[item.config_id].spec,
                purpose=Purpose.ANALYSIS,
                usage=usage,
                tier=BATCH,
                trigger=Trigger.BACKFILL,
                who=shipment.run.created_by,
                agent_id=agents[item.version_id],
                backfill_id=shipment.run.public_id,
            )
    _add_costs(
        {
            pk: (row.cost, TokenUsage(row.input_tokens, row.cached_tokens, row.output_tokens))
            for pk, row in rows.items()
        }
    )
    return list(rows.values())


def _lower(shipment: Shipment, count: int) -> None:
    """Give back the share of the reservation that these items had."""
    left = RunItem.objects.filter(shipment=shipment, state=ItemState.RUNNING).count() + count
    if count and left:
        reservations.lower(shipment.public_id, Decimal(count) / Decimal(left))


def fail_items(shipment: Shipment, failed: Mapping[int, tuple[str, str]]) -> None:
    """Record failures of items that can't be asked about, which cost nothing."""
    with transaction.atomic():
        items = _lock_items(shipment, list(failed))
        jobs = _start(shipment, [i for i in items if i.conversation_id is not None])
        outcomes = []
        for job in jobs:
            code, message = failed[job.item_id or 0]
            outcomes.append(AnalysisOutcome(job, error_code=code, error_message=message))
        if outcomes:
            record.record(outcomes, settle=settle)


def return_items(
    shipment: Shipment, *, item_ids: Sequence[int] | None = None, keep: Iterable[int] = ()
) -> int:
    """Queue leased items again that the batch has no response for: all but ``keep``, or some.

    Items that completed batches left out too often are asked for directly. Return how many.
    """
    rows = RunItem.objects.filter(shipment=shipment, state=ItemState.RUNNING, analysis=None)
    rows = rows.exclude(pk__in=list(keep)) if item_ids is None else rows.filter(pk__in=item_ids)
    with transaction.atomic():
        if shipment.status == "completed":
            rows.filter(attempts__gte=MOST_ATTEMPTS).update(direct=True)
        count = rows.update(state=ItemState.PENDING, shipment=None, previous_analysis=None)
        Shipment.objects.filter(pk=shipment.pk).update(returned=F("returned") + count)
    return count

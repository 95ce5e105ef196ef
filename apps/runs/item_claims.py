"""Items of runs as they are claimed, loaded, and settled: statements in others' transactions."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from apps.analysis.claims import AnalysisJob, NewRunAnalysis, read_jobs, start_for_run
from apps.analysis.effects import side_effects_of
from apps.analysis.record import Recorded

from .models import ItemState, Run, State

#: How long an item is left alone while another analysis of its conversation is at work.
RETRY_SECONDS = 5


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
        **more,
    }
    with connection.cursor() as cursor:
        cursor.execute(_PICK.format(where=where), values)
        return [Picked(*row) for row in cursor.fetchall()]


def finish_without_request(item_ids: Sequence[int]) -> None:
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

"""Put earlier results of many conversations back, in a fixed number of statements.

Call it in a transaction that holds the locks of the conversations. No model is asked.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.utils import timezone

from apps.conversations.models import Trigger
from apps.conversations.results import clear_result_columns, write_result_columns
from apps.mappings.contributions import NewResult, contribute

from .current import column_row, retire_current
from .effects import SideEffects
from .events import emit_events
from .models import analysis_id
from .results import changed_fields


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a conversation goes back to: a result, or the state and reason of having none."""

    conversation_id: int
    analysis_id: int | None
    state: str = "none"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a conversation has now. ``analysis_id`` is None where it has no result again."""

    conversation_id: int
    analysis_id: int | None
    replaced_id: int | None
    changes: tuple[str, ...]


#: A result that a rollback had restored cost what its original did.
_LOAD = """
SELECT a.id, a.conversation_id, a.output::text, a.columns::text, a.missing_required::text,
  a.config_id, a.model, CASE WHEN a.truncated THEN NULL ELSE a.messages_read END,
  CASE WHEN a.backfill_public_id <> '' AND a.trigger = 'restored' THEN r.cost ELSE a.cost END,
  v.agent_id
FROM analysis_analysis a
JOIN agents_agentversion v ON v.id = a.agent_version_id
LEFT JOIN analysis_analysis r ON r.id = a.restored_from_id
WHERE a.id = ANY(%s)
"""

_INSERT = """
INSERT INTO analysis_analysis (public_id, conversation_id, config_id, agent_version_id, columns,
  trigger, lane, state, is_current, requested_by, backfill_public_id, restored_from_id, output,
  field_order, missing_required, truncated, messages_read, model, contacts, webhooks, raw_output,
  error_code, error_message, request_id, requests, attempts, finished_at)
SELECT v.public_id, a.conversation_id, a.config_id, a.agent_version_id, a.columns, 'restored',
  'backfill', 'succeeded', true, %(by)s, %(run)s, a.id, a.output, a.field_order,
  a.missing_required, a.truncated, a.messages_read, a.model, %(contacts)s, %(webhooks)s, '', '',
  '', '', 0, 0, %(at)s
FROM unnest(%(ids)s::bigint[], %(names)s::text[]) AS v(id, public_id)
JOIN analysis_analysis a ON a.id = v.id
RETURNING conversation_id, id, public_id
"""


def restore_many(
    wanted: Sequence[Earlier], *, run: str, by: str, effects: SideEffects
) -> list[Restored]:
    """Make earlier results current as new analyses of a run, by its public ID.

    Where there was none, the result columns become empty again.
    """
    now = timezone.now()
    replaced = retire_current([one.conversation_id for one in wanted])
    results = _load([one.analysis_id for one in wanted if one.analysis_id is not None])
    copies = _copy(list(results), run=run, by=by, effects=effects, at=now)
    write_result_columns([_columns(row, now) for row in results.values()])
    clear_result_columns(
        [(one.conversation_id, one.state, one.reason) for one in wanted if one.analysis_id is None]
    )
    if effects.contacts:
        contribute([_contribution(one, results, copies, by) for one in wanted])
    restored = [_restored(one, replaced, results, copies) for one in wanted]
    emit_events(
        {
            one.analysis_id: one.changes
            for one in restored
            if one.analysis_id is not None and effects.notifies(one.changes)
        }
    )
    return restored


def _load(ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Return what the result columns are made of, by analysis."""
    with connection.cursor() as cursor:
        cursor.execute(_LOAD, [list(ids)])
        return {
            row[0]: {
                "conversation_id": row[1],
                "output": json.loads(row[2] or "{}"),
                "columns": json.loads(row[3]),
                "missing_required": json.loads(row[4]),
                "config_id": row[5],
                "model": row[6],
                "messages": row[7],
                "cost": row[8],
                "agent_id": row[9],
            }
            for row in cursor.fetchall()
        }


def _copy(
    ids: Sequence[int], *, run: str, by: str, effects: SideEffects, at: datetime
) -> dict[int, tuple[int, str]]:
    """Insert a current copy of each result; conversation → key and public ID of the copy."""
    if not ids:
        return {}
    values: dict[str, Any] = {
        **effects.as_dict(),
        "ids": list(ids),
        "names": [analysis_id() for _ in ids],
        "run": run,
        "by": by,
        "at": at,
    }
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, values)
        return {conversation: (pk, name) for conversation, pk, name in cursor.fetchall()}


def _columns(row: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    columns = {name: value for name, value in row.items() if name != "agent_id"}
    return column_row(**columns, trigger=Trigger.RESTORED, at=at)


def _contribution(
    one: Earlier,
    results: Mapping[int, Mapping[str, Any]],
    copies: Mapping[int, tuple[int, str]],
    by: str,
) -> NewResult:
    """Return what a conversation says to its contact now; nothing where it has no result."""
    if one.analysis_id is None:
        return NewResult(one.conversation_id, agent_id=0, analysis="", values={}, by=by)
    result = results[one.analysis_id]
    name = copies[one.conversation_id][1]
    return NewResult(one.conversation_id, result["agent_id"], name, result["output"], by)


def _restored(
    one: Earlier,
    replaced: Mapping[int, tuple[int, dict[str, Any]]],
    results: Mapping[int, Mapping[str, Any]],
    copies: Mapping[int, tuple[int, str]],
) -> Restored:
    replaced_id, before = replaced.get(one.conversation_id, (None, {}))
    after = results[one.analysis_id]["output"] if one.analysis_id is not None else {}
    return Restored(
        one.conversation_id,
        copies[one.conversation_id][0] if one.conversation_id in copies else None,
        replaced_id,
        tuple(changed_fields(before, after)),
    )

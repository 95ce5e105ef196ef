"""Give results other derived values: each as a new analysis, without a request to a model.

Call it in a transaction that holds the locks of the conversations.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.utils import timezone

from apps.alerts.checks import results_recorded
from apps.conversations.results import replace_values
from apps.core.database import key_array
from apps.mappings.contributions import NewResult, concerns, contribute

from .current import retire
from .effects import SideEffects
from .events import emit_events
from .models import analysis_id
from .results import changed_fields


@dataclass(frozen=True, slots=True)
class Recomputed:
    """A current result and its derived values, those before and those from now on."""

    conversation_id: int
    analysis_id: int
    agent_id: int
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    @property
    def changes(self) -> list[str]:
        return changed_fields(self.before, self.after)


_INSERT = """
INSERT INTO analysis_analysis (public_id, conversation_id, config_id, agent_version_id, columns,
  trigger, lane, state, is_current, requested_by, backfill_public_id, restored_from_id, output,
  field_order, missing_required, truncated, messages_read, model, contacts, webhooks, raw_output,
  error_code, error_message, request_id, requests, attempts, finished_at)
SELECT v.public_id, a.conversation_id, a.config_id, a.agent_version_id, a.columns, 'computed',
  'backfill', 'succeeded', true, %(by)s, %(run)s, a.id,
  (coalesce(a.output, '{}') - %(names)s::text[]) || v.added, a.field_order,
  a.missing_required, a.truncated, a.messages_read, a.model, %(contacts)s, %(webhooks)s, '', '',
  '', '', 0, 0, %(at)s
FROM jsonb_to_recordset(%(rows)s::jsonb) AS v(id bigint, public_id text, added jsonb)
JOIN analysis_analysis a ON a.id = v.id
RETURNING conversation_id, id, public_id, output::text
"""


def store_recomputed(
    results: Sequence[Recomputed],
    *,
    names: Sequence[str],
    run: str,
    by: str,
    effects: SideEffects,
) -> dict[int, int]:
    """Replace the values of the fields ``names`` in current results, for a run by its public ID.

    Return the new analysis of each conversation.
    """
    if not results:
        return {}
    retire([one.conversation_id for one in results])
    rows = [
        {"id": one.analysis_id, "public_id": analysis_id(), "added": one.after} for one in results
    ]
    values = {
        **effects.as_dict(),
        "rows": json.dumps(rows, ensure_ascii=False),
        "names": list(names),
        "run": run,
        "by": by,
        "at": timezone.now(),
    }
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, values)
        stored = {pk: (key, name, output) for pk, key, name, output in cursor.fetchall()}
    replace_values(names, {one.conversation_id: one.after for one in results})
    if effects.contacts:
        _contribute(results, {pk: (name, out) for pk, (_, name, out) in stored.items()}, by)
    emit_events(
        {
            stored[one.conversation_id][0]: one.changes
            for one in results
            if effects.notifies(one.changes)
        }
    )
    results_recorded(first=[], again=list(stored))
    return {pk: key for pk, (key, _, _) in stored.items()}


def _contribute(
    results: Sequence[Recomputed], stored: Mapping[int, tuple[str, str]], by: str
) -> None:
    if not concerns([one.conversation_id for one in results]):
        return
    contribute(
        [
            NewResult(one.conversation_id, one.agent_id, name, json.loads(output), by)
            for one in results
            for name, output in [stored[one.conversation_id]]
        ]
    )


_CURRENT = """
SELECT a.conversation_id, a.id, v.agent_id, a.field_order::text,
  (SELECT coalesce(jsonb_object_agg(f.name, a.output -> f.name), '{}')
   FROM unnest(%s::text[]) AS f(name) WHERE a.output ? f.name)::text
FROM analysis_analysis a JOIN agents_agentversion v ON v.id = a.agent_version_id
WHERE a.is_current AND a.conversation_id = ANY(%s::bigint[])
"""


@dataclass(frozen=True, slots=True)
class CurrentResult:
    """The current result of a conversation; ``values`` are those of the fields asked for."""

    conversation_id: int
    analysis_id: int
    agent_id: int
    asked: tuple[str, ...]
    values: Mapping[str, Any]


def current_results(
    conversation_ids: Sequence[int], names: Sequence[str]
) -> dict[int, CurrentResult]:
    """Return the current results of conversations, with their values of the fields ``names``."""
    with connection.cursor() as cursor:
        cursor.execute(_CURRENT, [list(names), key_array(conversation_ids)])
        return {
            pk: CurrentResult(pk, key, agent, tuple(json.loads(order)), json.loads(values))
            for pk, key, agent, order, values in cursor.fetchall()
        }

"""Insert current copies of results, as new analyses of a run that asks no model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from apps.core.database import key_array

from .effects import SideEffects
from .models import analysis_id


@dataclass(frozen=True, slots=True)
class Copy:
    """A new analysis: its key and public ID."""

    key: int
    public_id: str


_INSERT = """
INSERT INTO analysis_analysis (public_id, conversation_id, config_id, agent_version_id, columns,
  trigger, priority, state, is_current, requested_by, backfill_public_id, restored_from_id, output,
  field_order, missing_required, truncated, messages_read, model, contacts, webhooks, raw_output,
  error_code, error_message, request_id, requests, attempts, finished_at)
SELECT v.public_id, a.conversation_id, a.config_id, a.agent_version_id, a.columns, %(trigger)s,
  'backfill', 'succeeded', true, %(by)s, %(run)s, a.id, {output}, a.field_order,
  a.missing_required, a.truncated, a.messages_read, a.model, %(contacts)s, %(webhooks)s, '', '',
  '', '', 0, 0, %(at)s
FROM jsonb_to_recordset(%(copies)s::jsonb) AS v(id bigint, public_id text, added jsonb)
JOIN analysis_analysis a ON a.id = v.id
RETURNING restored_from_id, id, public_id
"""
_REPLACED = "(coalesce(a.output, '{}') - %(names)s::text[]) || v.added"


def copy_results(
    ids: Sequence[int],
    *,
    trigger: str,
    run: str,
    by: str,
    effects: SideEffects,
    at: datetime,
    names: Sequence[str] = (),
    added: Mapping[int, Mapping[str, Any]] | None = None,
) -> dict[int, Copy]:
    """Insert a current copy of each result, by its key, for a run by its public ID.

    With ``added``, values by result, the copies have these in the place of the fields ``names``.
    """
    if not ids:
        return {}
    copies = [
        {"id": pk, "public_id": analysis_id(), "added": added[pk] if added else None} for pk in ids
    ]
    values: dict[str, Any] = {
        **effects.as_dict(),
        "copies": json.dumps(copies, ensure_ascii=False),
        "names": list(names),
        "trigger": trigger,
        "run": run,
        "by": by,
        "at": at,
    }
    output = "a.output" if added is None else _REPLACED
    with connection.cursor() as cursor:
        cursor.execute(_INSERT.replace("{output}", output), values)
        return {original: Copy(pk, name) for original, pk, name in cursor.fetchall()}


_OUTPUTS = """
SELECT a.id, a.output::text, v.agent_id FROM analysis_analysis a
JOIN agents_agentversion v ON v.id = a.agent_version_id WHERE a.id = ANY(%s::bigint[])
"""


def outputs_of(ids: Sequence[int | None]) -> dict[int | None, tuple[dict[str, Any], int]]:
    """Return the values and the agent of each result; those of no result are none."""
    with connection.cursor() as cursor:
        cursor.execute(_OUTPUTS, [key_array(pk for pk in ids if pk is not None)])
        found = {pk: (json.loads(text or "{}"), agent) for pk, text, agent in cursor.fetchall()}
    return {None: ({}, 0), **found}

"""Analyses of a run: started as claimed, and undone where nothing was sent.

Each function is one statement in the caller's transaction, which writes the items of the run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from .claims import ANALYSES
from .effects import SideEffects
from .models import analysis_id


@dataclass(frozen=True, slots=True)
class NewRunAnalysis:
    """What one analysis of a run reads, and with what; ``columns`` as JSON text.

    ``reserved`` is what its request may cost at most, where that is to be set aside.
    """

    conversation_id: int
    config_id: int
    version_id: int
    columns: str
    reserved: Decimal | None = None


_START = """
INSERT INTO analysis_analysis (public_id, conversation_id, config_id, agent_version_id, columns,
  trigger, lane, state, requested_by, backfill_public_id, lease_token, lease_until, attempts,
  is_current, field_order, missing_required, truncated, raw_output, error_code, error_message,
  model, request_id, requests, contacts, webhooks, reserved)
SELECT v.public_id, v.conversation_id, v.config_id, v.version_id, v.columns::jsonb, 'backfill',
  'backfill', 'running', %(by)s, %(run)s, %(token)s,
  clock_timestamp() + make_interval(secs => %(lease)s), 1, false, '[]', '[]', false, '', '', '',
  '', '', 0, %(contacts)s, %(webhooks)s, v.reserved
FROM unnest(%(ids)s::text[], %(conversations)s::bigint[], %(configs)s::bigint[],
  %(versions)s::bigint[], %(columns)s::text[], %(reserved)s::numeric[])
  AS v(public_id, conversation_id, config_id, version_id, columns, reserved)
ON CONFLICT DO NOTHING
RETURNING conversation_id, id
"""


def start_for_run(
    analyses: Sequence[NewRunAnalysis], *, run: str, by: str, token: UUID, effects: SideEffects
) -> dict[int, int]:
    """Start a claimed analysis of each conversation that has none in progress.

    Return the new analysis of each conversation. ``run`` is the run's public ID.
    """
    values: dict[str, Any] = {
        **effects.as_dict(),
        "by": by,
        "run": run,
        "token": token,
        "lease": ANALYSES.seconds,
        "ids": [analysis_id() for _ in analyses],
        "conversations": [one.conversation_id for one in analyses],
        "configs": [one.config_id for one in analyses],
        "versions": [one.version_id for one in analyses],
        "columns": [one.columns for one in analyses],
        "reserved": [one.reserved for one in analyses],
    }
    with connection.cursor() as cursor:
        cursor.execute(_START, values)
        return dict(cursor.fetchall())


def lock_held(analysis_ids: Sequence[int], *, tokens: Sequence[UUID]) -> list[int]:
    """Lock those of these analyses that are still held by the tokens, and return them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.id FROM analysis_analysis a"
            " JOIN unnest(%s::bigint[], %s::uuid[]) AS v(id, token) ON v.id = a.id"
            " WHERE a.lease_token = v.token AND a.state = 'running'"
            " ORDER BY a.id FOR UPDATE OF a",
            [list(analysis_ids), list(tokens)],
        )
        return [pk for (pk,) in cursor.fetchall()]


def delete(analysis_ids: Sequence[int]) -> None:
    """Delete analyses for which nothing was sent."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM analysis_analysis WHERE id = ANY(%s)", [list(analysis_ids)])

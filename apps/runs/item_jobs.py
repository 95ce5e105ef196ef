"""Jobs of items that have no analysis: those of test runs, and those of batches."""

import json
from collections.abc import Sequence
from typing import Any

from django.db import connection

from apps.analysis import claims
from apps.analysis.effects import SideEffects
from apps.analysis.jobs import AnalysisJob
from apps.analysis.prompts import Facts
from apps.llm.limits import Lane

_LOAD = """
SELECT i.id, t.public_id, i.lease_token, c.id, c.public_id, g.public_id, t.created_by, i.config_id,
  c.channel, c.started_at, c.duration_ms, c.direction, coalesce(s.messages, '[]'), g.id
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
    if not item_ids:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_LOAD, [list(item_ids)])
        rows = cursor.fetchall()
    configs = claims.load_configs({row[7] for row in rows})
    return [_job(row, configs[row[7]]) for row in rows]


def _job(row: Sequence[Any], config: claims.LoadedConfig) -> AnalysisJob:
    return AnalysisJob(
        analysis_id=row[0],
        public_id=row[1],
        token=row[2],
        conversation_id=row[3],
        conversation_public_id=row[4],
        agent_id=row[13],
        agent_public_id=row[5],
        trigger="",  # of no analysis: a model that is free on first run is charged here
        requested_by=row[6],
        columns={},
        config=config.document,
        config_id=row[7],
        config_sha256=config.sha256,
        spec=config.spec,
        facts=Facts(
            channel=row[8], started_at=row[9], duration_ms=row[10], direction=row[11] or ""
        ),
        messages=json.loads(row[12]),
        lane=Lane.INTERACTIVE.value,
        side_effects=SideEffects(),
    )

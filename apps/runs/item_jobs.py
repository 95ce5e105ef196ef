"""Jobs of items that have no analysis: those of test runs, and those of batches."""

from collections.abc import Sequence

from apps.analysis import claims
from apps.analysis.jobs import AnalysisJob

# The trigger is that of no analysis: a model that is free on first run is charged here.
_LOAD = """
SELECT i.id, t.public_id, i.lease_token, c.id, c.public_id, g.public_id, '',
  t.created_by, '{}', i.config_id, c.channel, c.started_at, c.duration_ms, c.direction,
  coalesce(s.messages, '[]'), '', 'interactive', 'off', 0,
  NULL, true, g.id, NULL
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
    return claims.read_jobs(_LOAD, item_ids)

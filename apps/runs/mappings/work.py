"""Apply mappings to past analyses: a run over conversations with a current result.

The run asks no model. Each conversation contributes to its contact as if its result were new.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import connection

from apps.conversations.filters import matching
from apps.conversations.models import AnalysisState, ConversationQuerySet
from apps.conversations.results import NewResult
from apps.core.database import sql_of
from apps.mappings.contributions import contribute
from apps.runs.mappings.estimate import SummaryEstimate, expected_summaries
from apps.runs.models import Kind, Run
from apps.runs.selection import Keys, freeze_results
from apps.runs.starting import question_hash, sign


@dataclass(frozen=True, slots=True)
class MappingPreview:
    """The conversations whose results would be applied, and the contacts that they belong to."""

    channel: str
    params: Mapping[str, Sequence[str]]
    conversations: int
    contacts: int

    @property
    def question(self) -> str:
        return question_hash(self.channel, self.params, Kind.MAPPING.value)

    @property
    def token(self) -> str:
        """Return the token that agrees to this preview."""
        data = {
            "asked": self.question,
            "conversations": self.conversations,
            "contacts": self.contacts,
        }
        return sign(data, kind=Kind.MAPPING)


def _found(channel: str, params: Mapping[str, Sequence[str]]) -> ConversationQuerySet:
    found = matching(channel=channel, params=params).order_by()
    return found.filter(analysis_state=AnalysisState.SUCCEEDED, contact__isnull=False)


def preview_mappings(channel: str, params: Mapping[str, Sequence[str]]) -> MappingPreview:
    """Count the conversations and contacts of a mapping run, in one query."""
    sql, values = sql_of(_found(channel, params).values("pk", "contact"))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), count(DISTINCT contact) FROM ({sql}) AS s(pk, contact)", values
        )
        return MappingPreview(channel, params, *cursor.fetchone())


def estimate_summaries(preview: MappingPreview) -> SummaryEstimate | None:
    """Return what combining texts takes after the run; None if no mapping accumulates texts."""
    found = _found(preview.channel, preview.params)
    return expected_summaries(found, preview.conversations)


def list_mappings(run: Run, keys: Keys, limit: int) -> int:
    """Write up to ``limit`` items of a mapping run for the conversations with these keys."""
    found = keys.of(_found(run.channel, run.filters)).filter(created_at__lte=run.as_of)
    return freeze_results(run, found, limit=limit)


_LOAD = """
SELECT i.id, i.conversation_id, a.id, a.public_id, v.agent_id, a.output::text
FROM runs_runitem i
LEFT JOIN analysis_analysis a ON a.conversation_id = i.conversation_id AND a.is_current
LEFT JOIN agents_agentversion v ON v.id = a.agent_version_id
WHERE i.id = ANY(%s)
"""
_MARK = """
UPDATE runs_runitem i SET finished_at = clock_timestamp(), analysis_id = a.id,
  state = CASE WHEN a.id IS NULL THEN 'skipped' ELSE 'done' END,
  skip_reason = CASE WHEN a.id IS NULL THEN 'no_result' ELSE '' END
FROM runs_runitem o
LEFT JOIN analysis_analysis a ON a.conversation_id = o.conversation_id AND a.is_current
WHERE i.id = o.id AND o.id = ANY(%s)
"""


def apply_batch(run: Run, item_ids: Sequence[int]) -> None:
    """Contribute the current results of the locked items and mark them."""
    with connection.cursor() as cursor:
        cursor.execute(_LOAD, [list(item_ids)])
        rows = cursor.fetchall()
    contribute(
        [
            NewResult(conversation, agent, name, json.loads(output or "{}"), by=run.created_by)
            for _, conversation, analysis, name, agent, output in rows
            if analysis is not None
        ]
    )
    with connection.cursor() as cursor:
        cursor.execute(_MARK, [list(item_ids)])

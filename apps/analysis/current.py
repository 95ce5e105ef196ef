"""Making a result the current one: the only place that writes the result columns.

`record` (results of models) and `imports` (imported and restored results) both end here.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from apps.conversations.models import Conversation
from apps.conversations.search import summary_words_text

from .results import history_columns


def lock_conversations(ids: Iterable[int]) -> None:
    """Put results that are made at the same moment one after the other.

    Conversations are locked before their analyses everywhere, and in one order: no two writers
    ever wait for each other.
    """
    rows = Conversation.objects.select_for_update(no_key=True).filter(pk__in=set(ids))
    list(rows.order_by("pk").values_list("pk"))


def retire_current(conversation_ids: Sequence[int]) -> dict[int, tuple[int, dict[str, Any]]]:
    """What was current until now: conversation → (analysis, output)."""
    if not conversation_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE analysis_analysis SET is_current = false"
            " WHERE conversation_id = ANY(%s) AND is_current"
            " RETURNING conversation_id, id, output::text",
            [list(conversation_ids)],
        )
        return {row[0]: (row[1], json.loads(row[2] or "{}")) for row in cursor.fetchall()}


def column_row(
    *,
    conversation_id: int,
    output: Mapping[str, Any],
    columns: Mapping[str, str],
    missing_required: list[str],
    config_id: int | None,
    trigger: str,
    model: str,
    cost: Decimal | None,
    at: datetime,
    messages: int | None = None,
) -> dict[str, Any]:
    """The result columns of one conversation, as `write_columns` takes them.

    ``messages`` is how many there were when it was read: with more by now it is stale at once.
    None where nobody knows.
    """
    shown = history_columns(output, columns, missing_required)
    return {
        "id": conversation_id,
        "summary": shown.summary,
        "outcome": shown.outcome,
        "successful": shown.successful,
        "sentiment": shown.sentiment,
        "data": output,
        "config_id": config_id,
        "trigger": trigger,
        "model": model,
        "cost": cost,
        "analyzed_at": at,
        "messages": messages,
    }


_COLUMNS = """
UPDATE conversations_conversation c SET
  analysis_state = 'succeeded', analysis_reason = '', summary = v.summary,
  stale = coalesce(c.message_count > v.messages, false),
  analyze_at = CASE WHEN c.message_count > v.messages THEN c.analyze_at END,
  outcome = v.outcome, successful = v.successful, sentiment = v.sentiment,
  analysis_data = v.data, analysis_config_id = v.config_id, analysis_trigger = v.trigger,
  analysis_model = v.model, analysis_cost = v.cost, analyzed_at = v.analyzed_at
FROM jsonb_to_recordset(%s::jsonb) AS v(
  id bigint, summary text, outcome text, successful boolean, sentiment text, data jsonb,
  config_id bigint, trigger text, model text, cost numeric, analyzed_at timestamptz,
  messages int)
WHERE c.id = v.id
"""

_SUMMARY_WORDS = """
UPDATE conversations_searchtext s SET summary_words = v.words::tsvector
FROM unnest(%s::bigint[], %s::text[]) AS v(id, words)
WHERE s.conversation_id = v.id
"""


def write_columns(rows: Sequence[Mapping[str, Any]]) -> None:
    """Make results current on their conversations: the one function that writes the columns."""
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(_COLUMNS, [json.dumps(rows, ensure_ascii=False, default=str)])
        cursor.execute(
            _SUMMARY_WORDS,
            [[r["id"] for r in rows], [summary_words_text(r["summary"]) for r in rows]],
        )

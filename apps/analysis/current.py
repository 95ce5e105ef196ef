"""Make a result the current one, and pass it on to contacts, CRMs, follow-ups, and alert rules.

`record` (results of models) and `imports` (imported and restored results) both use this; the
columns are written by `apps.conversations.results`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from apps.alerts.checks import results_recorded
from apps.conversations.models import Conversation, Trigger
from apps.conversations.results import NewResult
from apps.core.database import key_array
from apps.crm.activities import conversations_analyzed
from apps.follow_ups.results import request_follow_ups
from apps.mappings.contributions import contribute

from .results import history_columns


def lock_conversations(ids: Iterable[int]) -> dict[int, tuple[str, str]]:
    """Put results that are made at the same moment one after the other.

    Return the analysis state and reason of each conversation. Conversations are locked before
    their analyses everywhere, and in one order: no two writers ever wait for each other.
    """
    rows = Conversation.objects.select_for_update(no_key=True).filter(pk__in=set(ids))
    found = rows.order_by("pk").values_list("pk", "analysis_state", "analysis_reason")
    return {pk: (state, reason) for pk, state, reason in found}


_RETIRE = """
UPDATE analysis_analysis SET is_current = false
WHERE conversation_id = ANY(%s::bigint[]) AND is_current
"""


def retire_current(conversation_ids: Sequence[int]) -> dict[int, tuple[int, dict[str, Any]]]:
    """Retire the current results and return them: conversation → (analysis, output)."""
    if not conversation_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            f"{_RETIRE} RETURNING conversation_id, id, output::text", [key_array(conversation_ids)]
        )
        return {row[0]: (row[1], json.loads(row[2] or "{}")) for row in cursor.fetchall()}


def retire(conversation_ids: Sequence[int]) -> None:
    """Retire the current results of conversations."""
    with connection.cursor() as cursor:
        cursor.execute(_RETIRE, [key_array(conversation_ids)])


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
    """Return the result columns of one conversation, as `write_result_columns` takes them.

    ``messages`` is how many there were when it was read: with more by now it is stale at once.
    None where no one knows.
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


def distribute(results: Sequence[NewResult], *, now: datetime | None = None) -> None:
    """Give results to all that act on them, in a fixed number of statements.

    Call this in the transaction that makes them current, with their conversations locked. Copies
    (restored and recomputed results) ask for no follow-up: their conversation was read before.
    """
    to_contacts = [one for one in results if one.contacts]
    contribute(to_contacts)
    # An activity shows the summary and the outcome, which are never computed again.
    logged = [one for one in to_contacts if one.trigger != Trigger.COMPUTED]
    conversations_analyzed(
        first=[one.conversation_id for one in logged if not one.replaces],
        again=[one.conversation_id for one in logged if one.replaces],
    )
    request_follow_ups([one for one in results if not one.is_copy], now=now)
    results_recorded(
        first=[one.conversation_id for one in results if one.is_first_analysis],
        again=[one.conversation_id for one in results if not one.is_first_analysis],
    )

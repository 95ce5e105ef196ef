"""What follows from a result: its columns, derived fields, and changes, and who is given it.

Every writer of results uses this: `record` (responses of models), `imports`, `restores`, and
`recomputed`. The columns are written by `apps.conversations.results`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from apps.agents.documents import SENTIMENTS
from apps.alerts.checks import results_recorded
from apps.conversations.derived.evaluation import ResultFacts, definitions, derive
from apps.conversations.models import Conversation, Trigger
from apps.conversations.results import NewResult, add_values, write_result_columns
from apps.core.database import key_array
from apps.core.display import one_line
from apps.core.yes_no import worded_truth
from apps.crm.activities import conversations_analyzed
from apps.follow_ups.results import request_follow_ups
from apps.mappings.contributions import contribute

_SENTIMENT_BY_LOWER = {name.lower(): name for name in SENTIMENTS}


@dataclass(frozen=True, slots=True)
class HistoryColumns:
    """The current result as a history page shows it.

    ``outcome`` is the value in words, ``successful`` its meaning: the value of a yes/no field, or
    of a word that means yes or no (“true”, “failed”, “resolved”), unknown for any other choice,
    and false where a required field stayed empty. The column, filter, and chart all read it.
    """

    summary: str
    outcome: str
    successful: bool | None
    sentiment: str


def history_columns(
    output: Mapping[str, Any], columns: Mapping[str, str], missing_required: list[str]
) -> HistoryColumns:
    """Fill the three history columns from a result, by the field that feeds each."""
    verdict = output.get(columns.get("outcome", ""))
    successful = worded_truth(verdict)
    return HistoryColumns(
        summary=one_line(output.get(columns.get("summary", ""))),
        outcome=one_line(verdict)[:200],
        successful=False if missing_required else successful,
        sentiment=_sentiment(output.get(columns.get("sentiment", ""))),
    )


def _sentiment(value: object) -> str:
    """Use one spelling for the four common words, so that all agents sort the same."""
    text = one_line(value)[:200]
    return _SENTIMENT_BY_LOWER.get(text.lower(), text)


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


def changed_fields(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[str]:
    """Return the fields whose values differ, in the newer result's order, then removed ones."""
    old = before or {}
    names = [*after, *(name for name in old if name not in after)]
    return [n for n in names if not _same(old.get(n), after.get(n))]


def _same(one: object, other: object) -> bool:
    """Compare as JSON, where an empty list or text is the same as nothing."""
    return _equal(one, other) or (one in (None, "", []) and other in (None, "", []))


def _equal(one: object, other: object) -> bool:
    """Compare as JSON at every depth: true is not 1, though Python says so."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    return isinstance(one, bool) == isinstance(other, bool) and one == other


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


@dataclass(frozen=True, slots=True)
class NewOutput:
    """A recorded result, and its values, to which derived ones are added in place."""

    analysis_id: int
    facts: ResultFacts
    output: dict[str, Any]


_ADD = """
UPDATE analysis_analysis a SET output = coalesce(a.output, '{}') || v.added
FROM jsonb_to_recordset(%s::jsonb) AS v(id bigint, added jsonb) WHERE a.id = v.id
"""


def add_derived(results: Sequence[NewOutput]) -> None:
    """Compute the derived fields of results whose columns are written, and store them.

    Without derived fields, this is one query of a tiny table.
    """
    wanted = definitions() if results else []
    if not wanted:
        return
    derived = derive([one.facts for one in results], wanted)
    added: dict[int, Mapping[str, Any]] = {}
    for one in results:
        values = derived.get(one.facts.conversation_id)
        if values:
            one.output.update(values)
            added[one.analysis_id] = values
    if not added:
        return
    rows = [{"id": pk, "added": values} for pk, values in added.items()]
    with connection.cursor() as cursor:
        cursor.execute(_ADD, [json.dumps(rows, ensure_ascii=False)])
    add_values({pk: values for pk, values in derived.items() if values})


def values_if_recorded(
    rows: Sequence[Mapping[str, Any]], facts: Sequence[ResultFacts]
) -> dict[int, dict[str, Any]]:
    """Return the derived fields that results would have, by conversation, and store nothing.

    ``rows`` are the results as `write_result_columns` takes them, one per conversation: they are
    written for the rules to read, and rolled back.
    """
    wanted = definitions() if facts else []
    if not wanted:
        return {}
    with transaction.atomic():
        lock_conversations(one.conversation_id for one in facts)
        write_result_columns(rows)
        found = derive(facts, wanted)
        transaction.set_rollback(True)
    return found


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

"""Put earlier results of many conversations back, in a fixed number of statements.

Call it in a transaction that holds the locks of the conversations. No model is asked. The values
stay in the database: only what fills the history columns is read, and whole results only where
webhooks or mappings want them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.utils import timezone

from apps.conversations.models import Trigger
from apps.conversations.results import (
    NewResult,
    clear_result_columns,
    copy_result_columns,
    write_summary_words,
)
from apps.core.database import key_array
from apps.mappings.contributions import concerns
from apps.webhooks import outbox
from apps.webhooks.models import EventType

from .copies import Copy, copy_results, outputs_of
from .effects import SideEffects, emit_events
from .results import HistoryColumns, changed_fields, distribute, history_columns, retire


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a conversation goes back to: a result, or the state and reason of having none.

    ``replaces`` is its current result, and ``changed`` whether the two differ in any value.
    """

    conversation_id: int
    analysis_id: int | None
    state: str = "none"
    reason: str = ""
    replaces: int | None = None
    changed: bool = True


#: A result that a rollback had restored cost what its original did.
_COLUMNS = """
(SELECT a.conversation_id AS id, g.summary, g.outcome, g.successful, g.sentiment,
  coalesce(a.output, '{}') AS data, a.config_id, 'restored' AS trigger, a.model,
  CASE WHEN a.backfill_public_id <> '' AND a.trigger = 'restored' THEN r.cost ELSE a.cost END
    AS cost, %(at)s::timestamptz AS analyzed_at,
  CASE WHEN a.truncated THEN NULL ELSE a.messages_read END AS messages
FROM jsonb_to_recordset(%(rows)s::jsonb) AS g(analysis bigint, summary text, outcome text,
  successful boolean, sentiment text)
JOIN analysis_analysis a ON a.id = g.analysis
LEFT JOIN analysis_analysis r ON r.id = a.restored_from_id) AS v
"""

_SHOWN = """
SELECT a.id, a.conversation_id, jsonb_build_array(a.output -> (a.columns ->> 'summary'),
  a.output -> (a.columns ->> 'outcome'), a.output -> (a.columns ->> 'sentiment'),
  a.missing_required)::text, c.summary
FROM analysis_analysis a JOIN conversations_conversation c ON c.id = a.conversation_id
WHERE a.id = ANY(%s::bigint[])
"""


def restore_many(
    wanted: Sequence[Earlier], *, run: str, by: str, effects: SideEffects
) -> dict[int, int]:
    """Make earlier results current as new analyses of a run, by its public ID.

    Return the new analysis of each conversation. Where there was no result, the columns become
    empty again, and there is none.
    """
    if not wanted:
        return {}
    now = timezone.now()
    retire([one.conversation_id for one in wanted])
    ids = [one.analysis_id for one in wanted if one.analysis_id is not None]
    copies = copy_results(ids, trigger=Trigger.RESTORED, run=run, by=by, effects=effects, at=now)
    _show(ids, now)
    clear_result_columns(
        [(one.conversation_id, one.state, one.reason) for one in wanted if one.analysis_id is None]
    )
    distribute(_new_results(wanted, copies, by, effects))
    _tell(wanted, copies, effects)
    return {
        one.conversation_id: copies[one.analysis_id].key
        for one in wanted
        if one.analysis_id is not None
    }


def _show(ids: Sequence[int], at: datetime) -> None:
    """Write the result columns of the originals' conversations, and words where they differ."""
    if not ids:
        return
    with connection.cursor() as cursor:
        cursor.execute(_SHOWN, [key_array(ids)])
        found = cursor.fetchall()
    columns = {analysis: _columns(*json.loads(held)) for analysis, _, held, _ in found}
    rows = [
        {
            "analysis": analysis,
            "summary": shown.summary,
            "outcome": shown.outcome,
            "successful": shown.successful,
            "sentiment": shown.sentiment,
        }
        for analysis, shown in columns.items()
    ]
    copy_result_columns(_COLUMNS, {"rows": json.dumps(rows, ensure_ascii=False), "at": at})
    write_summary_words(
        {
            conversation: columns[analysis].summary
            for analysis, conversation, _, before in found
            if columns[analysis].summary != before
        }
    )


_NAMES = {"summary": "summary", "outcome": "outcome", "sentiment": "sentiment"}


def _columns(
    summary: object, outcome: object, sentiment: object, missing: list[str]
) -> HistoryColumns:
    values = {"summary": summary, "outcome": outcome, "sentiment": sentiment}
    return history_columns(values, _NAMES, missing)


def _new_results(
    wanted: Sequence[Earlier], copies: Mapping[int, Copy], by: str, effects: SideEffects
) -> list[NewResult]:
    """Return the results that are current now, leaving out conversations without one.

    Values are read only where a mapping needs them.
    """
    read = effects.contacts and concerns([one.conversation_id for one in wanted])
    outputs = outputs_of([one.analysis_id for one in wanted]) if read else {}
    results = []
    for one in wanted:
        values, agent = outputs.get(one.analysis_id, ({}, 0))
        results.append(
            NewResult(
                conversation_id=one.conversation_id,
                agent_id=agent,
                analysis="" if one.analysis_id is None else copies[one.analysis_id].public_id,
                values=values,
                trigger=Trigger.RESTORED,
                by=by,
                contacts=effects.contacts,
                replaces=True,
            )
        )
    return results


def _tell(wanted: Sequence[Earlier], copies: Mapping[int, Copy], effects: SideEffects) -> None:
    """Write the events of the copies that the side effects ask for."""
    told = [one for one in wanted if one.analysis_id is not None]
    if effects.webhooks == "changed":
        told = [one for one in told if one.changed]
    if effects.webhooks == "off" or not told:
        return
    if not outbox.has_subscribers(EventType.CONVERSATION_ANALYZED):
        return
    outputs = outputs_of([pk for one in told for pk in (one.analysis_id, one.replaces)])
    emit_events(
        {
            copies[one.analysis_id].key: changed_fields(
                outputs[one.replaces][0], outputs[one.analysis_id][0]
            )
            for one in told
            if one.analysis_id is not None
        }
    )

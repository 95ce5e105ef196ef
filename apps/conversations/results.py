"""Results of conversations: which get none and why, what a new one is, and its columns.

Only this module writes the result columns. Apps above decide the values, in transactions of their
own that hold the conversations' locks.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Case, CharField, Value, When

from apps.agents.models import Channel

from .models import Conversation, Reason, Status, Trigger
from .search import summary_words_text

# Conversations without a result

_RULES: tuple[tuple[Reason, str, tuple[object, ...]], ...] = (
    (Reason.NOT_ENDED, "status", (Status.REGISTERED, Status.ONGOING)),
    (Reason.NOT_CONNECTED, "status", (Status.NOT_CONNECTED,)),
    (Reason.EMPTY, "message_count", (0,)),
    (Reason.NO_SPEECH, "has_speech", (False,)),
)
"""Why no model can read a conversation: the reason that applies where a column has one of these
values. The first match counts, in Python and in SQL."""

NOT_ANALYZABLE = frozenset(reason for reason, _, _ in _RULES)


def not_analyzable_reason(conversation: Conversation) -> Reason | None:
    """Return why no model can read a conversation, or None where one can."""
    for reason, column, values in _RULES:
        if getattr(conversation, column) in values:
            return reason
    return None


def not_analyzable_case() -> Case:
    """Return `not_analyzable_reason` as an SQL expression, empty where a model can read it."""
    return Case(
        *(
            When(**{f"{column}__in": values}, then=Value(reason.value))
            for reason, column, values in _RULES
        ),
        default=Value(""),
        output_field=CharField(),
    )


def not_analyzable_sentence(conversation: Conversation) -> str:
    """Return why no model can read a conversation, as a message; empty where one can."""
    reason = not_analyzable_reason(conversation)
    kind = Channel(conversation.channel).noun(1)
    return f"This {kind} can’t be analyzed: {reason.label}." if reason else ""


# New results

_FIRST = {Trigger.INITIAL, Trigger.IMPORTED}
_COPIED = {Trigger.RESTORED, Trigger.COMPUTED}


@dataclass(frozen=True, slots=True)
class NewResult:
    """A result of a conversation; rules and mappings of its agent apply to it.

    ``agent_id`` is the agent whose prompts made it, ``analysis`` its public ID, ``values`` its
    values by analysis field. ``contacts`` and ``notifies`` are its side effects: whether it
    updates contacts and CRMs, and whether it may send webhooks.
    """

    conversation_id: int
    agent_id: int
    analysis: str
    values: Mapping[str, Any]
    trigger: str = Trigger.RERUN
    by: str = ""
    contacts: bool = True
    notifies: bool = True
    replaces: bool = False
    """Whether the conversation had a result before."""

    @property
    def is_first_analysis(self) -> bool:
        """Return whether a new conversation was analyzed, rather than a known one again."""
        return self.trigger in _FIRST

    @property
    def is_copy(self) -> bool:
        """Return whether no one read the conversation for it: it was restored or recomputed."""
        return self.trigger in _COPIED


# Result columns

_COLUMNS = """
UPDATE conversations_conversation c SET
  analysis_state = 'succeeded', analysis_reason = '', summary = v.summary,
  stale = coalesce(c.message_count > v.messages, false),
  analyze_at = CASE WHEN c.message_count > v.messages THEN c.analyze_at END,
  outcome = v.outcome, successful = v.successful, sentiment = v.sentiment,
  analysis_data = v.data, analysis_config_id = v.config_id, analysis_trigger = v.trigger,
  analysis_model = v.model, analysis_cost = v.cost, analyzed_at = v.analyzed_at
FROM {source} WHERE c.id = v.id
"""

_GIVEN = """jsonb_to_recordset(%s::jsonb) AS v(
  id bigint, summary text, outcome text, successful boolean, sentiment text, data jsonb,
  config_id bigint, trigger text, model text, cost numeric, analyzed_at timestamptz,
  messages int)"""

_ADD = """
UPDATE conversations_conversation c SET analysis_data = coalesce(c.analysis_data, '{}') || v.added
FROM jsonb_to_recordset(%s::jsonb) AS v(id bigint, added jsonb) WHERE c.id = v.id
"""


def add_values(values: Mapping[int, Mapping[str, Any]]) -> None:
    """Add values to the current results of conversations."""
    rows = [{"id": pk, "added": added} for pk, added in values.items()]
    with connection.cursor() as cursor:
        cursor.execute(_ADD, [json.dumps(rows, ensure_ascii=False)])


_REPLACE = """
UPDATE conversations_conversation c SET analysis_trigger = 'computed',
  analysis_data = (coalesce(c.analysis_data, '{}') - %s::text[]) || v.added
FROM jsonb_to_recordset(%s::jsonb) AS v(id bigint, added jsonb) WHERE c.id = v.id
"""


def replace_values(names: Sequence[str], values: Mapping[int, Mapping[str, Any]]) -> None:
    """Replace the values of these fields in the current results of conversations."""
    rows = [{"id": pk, "added": added} for pk, added in values.items()]
    with connection.cursor() as cursor:
        cursor.execute(_REPLACE, [list(names), json.dumps(rows, ensure_ascii=False)])


_SUMMARY_WORDS = """
UPDATE conversations_searchtext s SET summary_words = v.words::tsvector
FROM jsonb_to_recordset(%s::jsonb) AS v(id bigint, words text)
WHERE s.conversation_id = v.id
"""


def write_result_columns(rows: Sequence[Mapping[str, Any]]) -> None:
    """Make results current on their conversations."""
    if not rows:
        return
    copy_result_columns(_GIVEN, [json.dumps(rows, ensure_ascii=False, default=str)])
    write_summary_words({row["id"]: row["summary"] for row in rows})


def copy_result_columns(source: str, params: Sequence[Any] | Mapping[str, Any]) -> None:
    """Make results current that the database has: the columns of `_GIVEN`, as a FROM item ``v``.

    The search words of their summaries are the caller's, where a summary is another one.
    """
    with connection.cursor() as cursor:
        cursor.execute(_COLUMNS.format(source=source), params)


def write_summary_words(summaries: Mapping[int, str]) -> None:
    """Store the search words of summaries, by conversation."""
    if not summaries:
        return
    rows = [{"id": pk, "words": summary_words_text(text)} for pk, text in summaries.items()]
    with connection.cursor() as cursor:
        cursor.execute(_SUMMARY_WORDS, [json.dumps(rows, ensure_ascii=False)])


_CLEARED = """
UPDATE conversations_conversation c SET
  analysis_state = v.state, analysis_reason = v.reason, summary = '', outcome = '',
  successful = NULL, sentiment = '', analysis_data = NULL, analysis_config_id = NULL,
  analysis_trigger = '', analysis_model = '', analysis_cost = NULL, analyzed_at = NULL,
  stale = false
FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS v(id, state, reason)
WHERE c.id = v.id
"""


def clear_result_columns(states: Sequence[tuple[int, str, str]]) -> None:
    """Empty the results of conversations, as (conversation, state, reason) to show instead."""
    if not states:
        return
    ids = [pk for pk, _, _ in states]
    with connection.cursor() as cursor:
        cursor.execute(_CLEARED, [ids, [s for _, s, _ in states], [r for _, _, r in states]])
        cursor.execute(
            "UPDATE conversations_searchtext SET summary_words = NULL"
            " WHERE conversation_id = ANY(%s)",
            [ids],
        )


def mark_failed(failures: Sequence[tuple[int, str]]) -> None:
    """Show failures, as (conversation, error code), unless an earlier result is shown."""
    if not failures:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE conversations_conversation c"
            " SET analysis_state = 'failed', analysis_reason = v.code"
            " FROM unnest(%s::bigint[], %s::text[]) AS v(id, code)"
            " WHERE c.id = v.id AND c.analysis_state <> 'succeeded'",
            [[pk for pk, _ in failures], [code for _, code in failures]],
        )


def set_states(states: Sequence[tuple[int, str, str]]) -> None:
    """Set (conversation, state, reason) where no analysis was requested yet."""
    if not states:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE conversations_conversation c SET analysis_state = v.state,"
            " analysis_reason = v.reason"
            " FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS v(id, state, reason)"
            " WHERE c.id = v.id AND c.analysis_state = 'none'",
            [[s[0] for s in states], [str(s[1]) for s in states], [str(s[2]) for s in states]],
        )


def set_due(conversation_ids: Sequence[int], at: datetime | None) -> None:
    """Set when due conversations are looked at next; None: no longer due."""
    if not conversation_ids:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE conversations_conversation SET analyze_at = %s"
            " WHERE id = ANY(%s::bigint[]) AND analyze_at IS NOT NULL",
            [at, list(conversation_ids)],
        )

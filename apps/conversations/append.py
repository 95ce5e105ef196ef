"""Append messages to a stored conversation.

The cost depends on the new messages, not on the stored ones, so that a long
thread does not become slower with every message.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from . import rows, search
from .inputs import Message
from .models import AnalysisState, Conversation, Reason, SearchText, Status, Transcript
from .services import last_version

_JOINABLE_TOKENS = 50_000
"""Up to this size the words of new messages are joined to those that are stored; a tsvector is
limited, and beyond it the words are rebuilt and truncated."""


def lock_conversation(pk: int) -> Conversation:
    """One conversation, locked until the transaction ends. Raises Conversation.DoesNotExist."""
    rows_of_it = Conversation.objects.select_related("agent", "agent_version", "contact")
    return rows_of_it.select_for_update(of=("self",), no_key=True).get(pk=pk)


def messages_from(conversation: Conversation, position: int) -> list[Message]:
    """Return the stored messages from a position on, counted from 0."""
    stored = Transcript.objects.filter(conversation=conversation).values_list("messages", flat=True)
    return list(stored.first() or [])[position:]


def append_messages(*, stored: Conversation, messages: Sequence[Message], now: datetime) -> None:
    """Put new messages behind those that are there; ``stored`` is locked (`lock_conversation`).

    A conversation that had ended is open again: it continues (decision 0008). A result that it has
    is stale from now on.
    """
    columns: dict[str, Any] = {"status": Status.ONGOING.value}
    if stored.has_ended:
        columns |= rows.reopened(stored)
    columns |= {
        "message_count": stored.message_count + len(messages),
        "has_speech": stored.has_speech or rows.has_speech(messages),
        "last_message_at": _later(stored.last_message_at, rows.last_said(messages, now)),
        "prompt_tokens_est": stored.prompt_tokens_est + rows.tokens_of(messages),
    }
    if stored.analyzed_at is not None:
        columns["stale"] = True
    elif stored.analysis_state == AnalysisState.NONE:
        columns["analysis_reason"] = Reason.NOT_ENDED.value
    for name, value in columns.items():
        setattr(stored, name, value)
    seconds = last_version(stored).chat_idle_seconds
    stored.idle_at = columns["idle_at"] = rows.idle_at(stored, seconds)
    stored.save(update_fields=list(columns))
    _store(stored, messages)


def _store(stored: Conversation, messages: Sequence[Message]) -> None:
    given = json.dumps(list(messages), ensure_ascii=False)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE conversations_transcript SET messages = messages || %s::jsonb"
            " WHERE conversation_id = %s",
            [given, stored.pk],
        )
        if stored.prompt_tokens_est <= _JOINABLE_TOKENS:
            cursor.execute(
                "UPDATE conversations_searchtext SET words = words || %s::tsvector"
                " WHERE conversation_id = %s",
                [search.vector(message["content"] for message in messages), stored.pk],
            )
            return
    words = rows.words_of(stored, messages_from(stored, 0))
    SearchText.objects.filter(conversation=stored).update(words=words)


def _later(one: datetime | None, other: datetime) -> datetime:
    return max(one, other) if one else other

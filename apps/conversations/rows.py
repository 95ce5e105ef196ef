"""From a line to the rows of its conversation, and values derived from messages."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Model
from django.utils.dateparse import parse_datetime

from apps.agents.models import Channel
from apps.contacts.models import Contact
from apps.llm.tokens import estimate_tokens

from . import search
from .inputs import ConversationInput, Message
from .lookup import Route
from .models import (
    API_SOURCE,
    OPEN,
    AnalysisState,
    Attributes,
    Conversation,
    Reason,
    SearchText,
    Status,
    Transcript,
    Transfer,
    conversation_id,
)

UNANALYZED = (AnalysisState.NONE.value, AnalysisState.SKIPPED.value, AnalysisState.FAILED.value)
"""States in which there is no result, and none on its way."""
_ROLE_IN_PROMPT = {"tool_call": "tool call", "tool_result": "tool result"}
#: What speech recognition writes for a sound that is no word: [noise], <unk>.
_NO_WORDS = re.compile(r"(\s|\[[^\]]{0,40}\]|<[^>]{0,40}>)*")


def facts_of(messages: Sequence[Message], status: str, now: datetime) -> dict[str, Any]:
    """Return the columns that follow from the messages, which arrived ``now``."""
    return {
        "message_count": len(messages),
        "has_speech": has_speech(messages),
        "last_message_at": last_said(messages, now) if status in OPEN else _last_at(messages),
        "prompt_tokens_est": tokens_of(messages),
    }


def has_speech(messages: Iterable[Message]) -> bool:
    """Return whether an agent or a user said a word."""
    return any(is_speech(message) for message in messages)


def tokens_of(messages: Iterable[Message]) -> int:
    """Return the estimated tokens of messages in a prompt."""
    return estimate_tokens("\n".join(_as_prompted(m) for m in messages))


def last_said(messages: Sequence[Message], now: datetime) -> datetime:
    """When the last message was said, which arrived ``now``: by its own time where it has one.

    A clock ahead of Debrief's must not keep a chat open, so later times count as now.
    """
    at = messages[-1].get("at") if messages else None
    said = parse_datetime(at) if at else None
    return min(said, now) if said else now


def idle_at(conversation: Conversation, chat_seconds: int) -> datetime | None:
    """Return when an open conversation counts as ended for its silence.

    A chat after this many seconds, a call after CALL_SILENCE_HOURS, which no call of a platform
    lasts. None where that is not for us to say: what has ended, and threads of the API, which are
    closed explicitly.
    """
    if conversation.has_ended or conversation.source == API_SOURCE:
        return None
    if conversation.last_message_at is None:
        return None
    if conversation.channel == Channel.CHAT:
        return conversation.last_message_at + timedelta(seconds=chat_seconds)
    return conversation.last_message_at + timedelta(hours=settings.CALL_SILENCE_HOURS)


def reopened(stored: Conversation) -> dict[str, Any]:
    """Return the columns that change when a conversation continues after its end.

    A result stays where it is, as stale; a skipped or failed conversation is looked at again
    after the next end.
    """
    columns: dict[str, Any] = {
        "status": Status.ONGOING.value,
        "ended_at": None,
        "duration_ms": None,
        "disconnection_reason": "",
        "analyze_at": None,
    }
    if stored.analyzed_at is None and stored.analysis_state in UNANALYZED:
        columns |= {
            "analysis_state": AnalysisState.NONE.value,
            "analysis_reason": Reason.NOT_ENDED.value,
        }
    return columns


def ended(
    stored: Conversation,
    *,
    status: str = Status.ENDED.value,
    ended_at: datetime,
    duration_ms: int | None = None,
    disconnection_reason: str = "",
    analyze_at: datetime | None,
) -> dict[str, Any]:
    """Return the columns that change when an open conversation ends; set on ``stored`` too.

    Its duration follows from start and end where it is not given. The reason for skipping it is
    cleared: the next request for an analysis looks again.
    """
    times = {
        "started_at": stored.started_at,
        "ended_at": ended_at,
        "duration_ms": stored.duration_ms if duration_ms is None else duration_ms,
    }
    columns: dict[str, Any] = {
        "status": status,
        "ended_at": ended_at,
        **times_of(times, stored.created_at),
        "disconnection_reason": disconnection_reason or stored.disconnection_reason,
        "idle_at": None,
        "analyze_at": analyze_at,
    }
    if stored.analyzed_at is None and stored.analysis_state in UNANALYZED:
        columns |= {"analysis_state": AnalysisState.NONE.value, "analysis_reason": ""}
    for name, value in columns.items():
        setattr(stored, name, value)
    return columns


def times_of(values: dict[str, Any], arrived: datetime) -> dict[str, Any]:
    """Duration and place in the list, as far as they follow from start and end."""
    started, ended, duration = (values[n] for n in ("started_at", "ended_at", "duration_ms"))
    if duration is None and started and ended and ended >= started:
        duration = round((ended - started).total_seconds() * 1000)
    return {"duration_ms": duration, "sort_at": started or arrived}


def end_of(stored: Conversation) -> datetime | None:
    """When a conversation ended that has, by its start and duration where no one said."""
    started, duration = stored.started_at, stored.duration_ms
    if stored.ended_at is None and stored.has_ended and started and duration is not None:
        return started + timedelta(milliseconds=duration)
    return stored.ended_at


def new_conversation(
    line: ConversationInput,
    route: Route,
    contact: Contact | None,
    *,
    now: datetime,
    analyze_at: datetime | None,
) -> Conversation:
    """The conversation that a line describes, not yet saved; ``analyze_at`` if it has ended."""
    public_id = conversation_id()
    given = {
        "started_at": line.started_at,
        "ended_at": line.ended_at,
        "duration_ms": line.duration_ms,
    }
    conversation = Conversation(
        public_id=public_id,
        source=line.source,
        external_id=line.external_id or public_id,
        channel=line.channel,
        agent=route.version.agent,
        agent_version=route.version,
        status=line.status,
        direction=line.direction,
        from_number=line.from_number,
        to_number=line.to_number,
        recording_url=line.recording_url,
        contact=contact,
        route=route.chain,
        created_at=now,
        **{**given, **times_of(given, now)},
        **line.texts,
        **facts_of(line.messages, line.status, now),
    )
    if conversation.has_ended:
        conversation.analyze_at = analyze_at
    else:
        conversation.analysis_reason = Reason.NOT_ENDED.value
        conversation.idle_at = idle_at(conversation, route.last_version.chat_idle_seconds)
    return conversation


def parts_of(conversation: Conversation, line: ConversationInput) -> list[Model]:
    """Return the rows of other tables that each conversation has, not yet saved."""
    return [
        Attributes(
            conversation=conversation,
            metadata=dict(line.metadata),
            dynamic_variables=dict(line.dynamic_variables),
        ),
        Transcript(conversation=conversation, messages=line.messages),
        SearchText(conversation=conversation, words=words_of(conversation, line.messages)),
    ]


def transfers_of(conversation: Conversation, route: Route) -> list[Transfer]:
    return [
        Transfer(
            conversation=conversation,
            position=position,
            after_message=step.after_message,
            to_version=step.version,
            setting=step.setting,
        )
        for position, step in enumerate(route.steps)
    ]


def words_of(conversation: Conversation, messages: Iterable[Message]) -> str:
    """Return the searchable text of a conversation: its ids, its numbers, its messages."""
    texts = [conversation.public_id, conversation.external_id]
    texts += [message["content"] for message in messages]
    return search.vector(texts, numbers=(conversation.from_number, conversation.to_number))


def is_speech(message: Mapping[str, Any]) -> bool:
    """Return whether an agent or a user says a word in this message."""
    return message["role"] in {"agent", "user"} and not _NO_WORDS.fullmatch(message["content"])


def _last_at(messages: Sequence[Message]) -> datetime | None:
    for message in reversed(messages):
        if at := message.get("at"):
            return parse_datetime(at)
    return None


def _as_prompted(message: Message) -> str:
    role = message["role"]
    return f"{_ROLE_IN_PROMPT.get(role, role)}: {message['content']}"

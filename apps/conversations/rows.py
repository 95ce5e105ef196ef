"""From a line to the rows of its conversation, and what is derived from messages."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from apps.contacts.models import Contact
from apps.llm.tokens import estimate_tokens

from . import search
from .inputs import ConversationInput, Message
from .models import (
    Attributes,
    Conversation,
    SearchText,
    Status,
    Transcript,
    Transfer,
    conversation_id,
)
from .routing import Route

_ROLE_IN_PROMPT = {"tool_call": "tool call", "tool_result": "tool result"}
_OPEN = {Status.REGISTERED.value, Status.ONGOING.value}
#: What speech recognition writes for a sound that is no word: [noise], <unk>.
_NO_WORDS = re.compile(r"(\s|\[[^\]]{0,40}\]|<[^>]{0,40}>)*")


def facts_of(messages: Sequence[Message], status: str) -> dict[str, Any]:
    """The columns that follow from the messages."""
    return {
        "message_count": len(messages),
        "has_speech": any(_is_speech(message) for message in messages),
        "last_message_at": _last_at(messages) or (timezone.now() if status in _OPEN else None),
        "prompt_tokens_est": estimate_tokens("\n".join(_as_prompted(m) for m in messages)),
    }


def times_of(values: dict[str, Any], arrived: datetime) -> dict[str, Any]:
    """End, duration and place in the list, as far as they follow from one another."""
    started, ended, duration = (values[n] for n in ("started_at", "ended_at", "duration_ms"))
    if duration is None and started and ended and ended >= started:
        duration = round((ended - started).total_seconds() * 1000)
    return {"duration_ms": duration, "sort_at": started or arrived}


def new_conversation(
    line: ConversationInput, route: Route, contact: Contact | None, now: datetime
) -> Conversation:
    """The conversation that a line describes, not yet saved."""
    public_id = conversation_id()
    given = {name: getattr(line, name) for name in ("started_at", "ended_at", "duration_ms")}
    return Conversation(
        public_id=public_id,
        source=line.source,
        external_id=line.external_id or public_id,
        channel=line.channel,
        agent=route.version.agent,
        agent_version=route.version,
        status=line.status,
        language=line.language,
        direction=line.direction,
        from_number=line.from_number,
        to_number=line.to_number,
        disconnection_reason=line.disconnection_reason,
        recording_url=line.recording_url,
        contact=contact,
        route=route.chain,
        created_at=now,
        **{**given, **times_of(given, now)},
        **facts_of(line.messages, line.status),
    )


def attributes_of(conversation: Conversation, line: ConversationInput) -> Attributes:
    return Attributes(
        conversation=conversation,
        metadata=dict(line.metadata),
        dynamic_variables=dict(line.dynamic_variables),
    )


def transcript_of(conversation: Conversation, line: ConversationInput) -> Transcript:
    return Transcript(conversation=conversation, messages=line.messages)


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


def search_text_of(conversation: Conversation, messages: Iterable[Message]) -> SearchText:
    return SearchText(conversation=conversation, words=words_of(conversation, messages))


def words_of(conversation: Conversation, messages: Iterable[Message]) -> str:
    """What a search finds the conversation by: its ids, its numbers, what was said."""
    texts = [conversation.public_id, conversation.external_id]
    texts += [message["content"] for message in messages]
    return search.vector(texts, numbers=(conversation.from_number, conversation.to_number))


def _is_speech(message: Message) -> bool:
    return message["role"] in {"agent", "user"} and not _NO_WORDS.fullmatch(message["content"])


def _last_at(messages: Sequence[Message]) -> datetime | None:
    for message in reversed(messages):
        if at := message.get("at"):
            return parse_datetime(at)
    return None


def _as_prompted(message: Message) -> str:
    role = message["role"]
    return f"{_ROLE_IN_PROMPT.get(role, role)}: {message['content']}"

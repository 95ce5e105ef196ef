"""Conversations, written straight into their tables."""

from collections.abc import Sequence
from datetime import datetime
from itertools import count
from typing import Any

from apps.agents.models import Agent, AgentVersion
from apps.analysis.prompts import transcript_tokens
from apps.conversations import search
from apps.conversations.models import Attributes, Conversation, SearchText, Transcript

_numbers = count(1)

HELLO: list[dict[str, Any]] = [
    {"role": "agent", "content": "Hello, how can I help?"},
    {"role": "user", "content": "I was charged twice in March."},
    {"role": "agent", "content": "I see it, and I have refunded one of the two."},
]


def make_conversation(
    agent: Agent, *, messages: Sequence[dict[str, Any]] = tuple(HELLO), **values: Any
) -> Conversation:
    """A conversation that ended, with its transcript and side rows."""
    return make_conversations(agent, 1, messages=messages, **values)[0]


def make_conversations(
    agent: Agent,
    how_many: int,
    *,
    messages: Sequence[dict[str, Any]] = tuple(HELLO),
    **values: Any,
) -> list[Conversation]:
    """Many that ended, in a few statements."""
    draft = agent.versions.drafts().get()
    defaults: dict[str, Any] = {
        "channel": agent.channel,
        "agent_version": draft,
        "route": str(agent.pk),
        "message_count": len(messages),
        "has_speech": any(m["role"] in {"agent", "user"} and m["content"] for m in messages),
        "prompt_tokens_est": transcript_tokens(messages),
    }
    made = Conversation.objects.bulk_create(
        Conversation(agent=agent, **({"external_id": f"x-{next(_numbers)}"} | defaults | values))
        for _ in range(how_many)
    )
    Transcript.objects.bulk_create(
        Transcript(
            conversation=c,
            messages=[*messages[:-1], {**messages[-1], "content": _marked(messages[-1], c)}]
            if messages
            else [],
        )
        for c in made
    )
    Attributes.objects.bulk_create(Attributes(conversation=c) for c in made)
    SearchText.objects.bulk_create(SearchText(conversation=c, words="") for c in made)
    return made


def _marked(message: dict[str, Any], conversation: Conversation) -> str:
    """The text with the conversation's id, by which the fake server counts requests."""
    return f"{message['content']} [[id:{conversation.public_id}]]"


def make_indexed_conversation(version: AgentVersion, **values: Any) -> Conversation:
    """Return a conversation that search finds, with metadata, variables, and messages."""
    metadata = values.pop("metadata", {})
    variables = values.pop("variables", {})
    messages = values.pop("messages", [])
    started: datetime | None = values.get("started_at")
    if started is not None:
        values.setdefault("sort_at", started)
    values.setdefault("external_id", f"test-{next(_numbers)}")
    values.setdefault("route", str(version.agent_id))
    values.setdefault("channel", version.agent.channel)
    conversation = Conversation.objects.create(agent=version.agent, agent_version=version, **values)
    Attributes.objects.create(
        conversation=conversation, metadata=metadata, dynamic_variables=variables
    )
    Transcript.objects.create(conversation=conversation, messages=messages)
    SearchText.objects.create(
        conversation=conversation,
        words=search.vector(
            [conversation.public_id, conversation.external_id, *(m["content"] for m in messages)],
            numbers=[conversation.from_number, conversation.to_number],
        ),
        summary_words=search.vector([conversation.summary]),
    )
    return conversation

"""Things that tests need many of, made the short way: straight into the tables."""

import json
from collections.abc import Sequence
from decimal import Decimal
from itertools import count
from typing import Any

from apps.agents.builtins import categories
from apps.agents.documents import EMPTY_SCHEMA, default_columns
from apps.agents.models import Agent, AgentVersion
from apps.agents.plans import config_of
from apps.analysis.prompts import transcript_tokens
from apps.conversations.models import Attributes, Conversation, SearchText, Transcript
from apps.llm.models import LanguageModel

_numbers = count(1)

HELLO: list[dict[str, Any]] = [
    {"role": "agent", "content": "Hello, how can I help?"},
    {"role": "user", "content": "I was charged twice in March."},
    {"role": "agent", "content": "I see it, and I have refunded one of the two."},
]


def make_model(**values: Any) -> LanguageModel:
    """A priced model; ``base_url`` of the fake server makes it answer."""
    values = {
        "name": f"model-{next(_numbers)}",
        "input_price": Decimal("0.40"),
        "output_price": Decimal("1.60"),
        **values,
    }
    return LanguageModel.objects.create(**values)


def make_agent(
    *,
    model: LanguageModel | None = None,
    channel: str = "voice",
    name: str = "",
    schema: dict[str, Any] | None = None,
    editor: dict[str, Any] | None = None,
    **values: Any,
) -> Agent:
    """An agent with one draft, V0; ``values`` go to the draft."""
    agent = Agent.objects.create(
        name=name or f"Agent {next(_numbers)}", channel=channel, created_by="tests"
    )
    model = model or make_model()
    document = {"model": model.name, "built_ins": {}, "schema": schema or EMPTY_SCHEMA}
    document |= editor or {}
    draft = AgentVersion(
        agent=agent, number=0, editor_document=json.dumps(document), saved_by="tests", **values
    )
    draft.config = config_of(draft, document, model=model)
    columns = default_columns(channel, draft.config.parsed())
    draft.summary_field = columns.summary
    draft.outcome_field = columns.outcome
    draft.sentiment_field = columns.sentiment
    draft.save()
    return agent


def edit_draft(agent: Agent, **changes: Any) -> AgentVersion:
    """Change the draft's editor document in place, as a save would."""
    draft = agent.versions.drafts().with_config().get()
    document = {**json.loads(draft.editor_document), **changes}
    draft.editor_document = json.dumps(document)
    draft.config = config_of(draft, document, model=draft.config.model)
    draft.save()
    return draft


def edit_prompt(agent: Agent, prompt: str) -> AgentVersion:
    """Give the first built-in category another prompt."""
    name = categories(agent.channel)[0].name
    return edit_draft(agent, built_ins={name: {"prompt": prompt}})


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

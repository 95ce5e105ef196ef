"""Agents and conversations made straight in the tables, for tests of what reads them."""

import json
from collections.abc import Mapping
from datetime import datetime
from itertools import count
from typing import Any

from apps.agents.documents import ConfigDocument, default_columns, resolve
from apps.agents.models import Agent, AgentVersion, AnalysisConfig
from apps.conversations import search
from apps.conversations.models import Attributes, Conversation, SearchText, Transcript
from apps.llm.models import LanguageModel

_numbers = count(1)


def make_config(document: ConfigDocument) -> AnalysisConfig:
    model, _ = LanguageModel.objects.get_or_create(name=document.model)
    config, _ = AnalysisConfig.objects.get_or_create(
        sha256=document.sha256(), defaults={"document": document.text(), "model": model}
    )
    return config


def make_agent(
    name: str = "Billing line",
    channel: str = "voice",
    properties: Mapping[str, Any] | None = None,
    **editor: Any,
) -> AgentVersion:
    """An agent; its one version, the draft, is what is answered."""
    agent = Agent.objects.create(name=name, channel=channel, created_by="test")
    return make_version(agent, 0, properties, **editor)


def make_version(
    agent: Agent, number: int, properties: Mapping[str, Any] | None = None, **editor: Any
) -> AgentVersion:
    schema = {"type": "object", "properties": dict(properties or {})}
    whole = {"model": "model-of-tests", "schema": schema, **editor}
    document = resolve(channel=agent.channel, editor=whole, long_transcript="refuse")
    columns = default_columns(agent.channel, document)
    return AgentVersion.objects.create(
        agent=agent,
        number=number,
        editor_document=json.dumps(whole),
        config=make_config(document),
        saved_by="test",
        summary_field=columns.summary,
        outcome_field=columns.outcome,
        sentiment_field=columns.sentiment,
    )


def make_conversation(version: AgentVersion, **values: Any) -> Conversation:
    """A conversation with its side rows; ``metadata``, ``variables``, ``messages`` go there."""
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

"""Models, agents, and versions, written straight into their tables."""

import json
from collections.abc import Mapping
from decimal import Decimal
from itertools import count
from typing import Any

from apps.agents.documents import (
    EMPTY_SCHEMA,
    ConfigDocument,
    categories,
    default_columns,
    resolve,
)
from apps.agents.models import Agent, AgentVersion, AnalysisConfig
from apps.agents.plans import config_of
from apps.llm.models import LanguageModel

_numbers = count(1)


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


def make_config(document: ConfigDocument) -> AnalysisConfig:
    model, _ = LanguageModel.objects.get_or_create(name=document.model)
    config, _ = AnalysisConfig.objects.get_or_create(
        sha256=document.sha256(), defaults={"document": document.text(), "model": model}
    )
    return config


def make_draft(
    name: str = "Billing line",
    channel: str = "voice",
    properties: Mapping[str, Any] | None = None,
    **editor: Any,
) -> AgentVersion:
    """Return the draft of a new agent; ``editor`` goes into its document."""
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

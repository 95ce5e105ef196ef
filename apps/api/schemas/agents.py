"""Agents, drafts and versions."""

from typing import Annotated, Literal, Self

from pydantic import Field

from apps.agents.changes import Fault
from apps.agents.models import Agent, AgentVersion, Channel
from apps.agents.schemas import MAX_RETENTION_DAYS, SCHEMA_EXAMPLE
from apps.agents.services import InvalidDraft, draft_document
from apps.agents.services.common import MAX_NAME
from apps.agents.templates import BY_KEY, Template
from apps.core.errors import UserError
from apps.core.schemas import Body, Choice, Count, Json, OneOf, Schema, Time, eg
from apps.core.validation_messages import FieldProblem

from . import examples
from .common import Page


class BuiltInSchema(Schema):
    """One built-in field, with every default filled in."""

    prompt: Annotated[str, eg("Two sentences.")]
    enabled: Annotated[bool, eg(value=True)]
    required: Annotated[bool, eg(value=True)]


class AnalysisPart(Schema):
    """What an analysis asks, and which model."""

    model: Annotated[str, eg("gpt-4.1-mini")]
    instructions: Annotated[str, eg("The caller is a customer of a telephone company.")]
    built_ins: Annotated[
        dict[str, BuiltInSchema], eg({"call_summary": BuiltInSchema.get_example()})
    ]
    """Calls: `call_summary`, `call_successful`, `user_sentiment`; chats: `chat_summary`,
    `chat_successful`, `user_sentiment`."""
    schema_: Annotated[Json, Field(alias="schema"), eg(SCHEMA_EXAMPLE)]
    """The agent's own fields: a JSON Schema of an object."""


class PostAnalysis(Schema):
    """When an analysis starts automatically."""

    enabled: Annotated[bool, eg(value=True)]
    sample_percent: Annotated[float, Field(ge=0, le=100), eg(100)]
    min_seconds: Count
    min_messages: Count
    chat_idle_seconds: Annotated[int, Field(ge=120, le=259_200), eg(3600)]
    long_transcript: Annotated[Literal["refuse", "truncate"], eg("refuse")]
    retention_days: Annotated[int, Field(ge=1, le=MAX_RETENTION_DAYS)] | None
    """Days after which conversations are erased automatically; null: never. Set by admins."""


class ColumnsSchema(Schema):
    """Which field feeds each of the three history columns; empty: none."""

    summary: Annotated[str, eg("call_summary")]
    outcome: Annotated[str, eg("call_successful")]
    sentiment: Annotated[str, eg("user_sentiment")]


class DraftContent(Schema):
    """What a draft or a version holds."""

    analysis: AnalysisPart
    post_analysis: PostAnalysis
    columns: ColumnsSchema


class Draft(DraftContent):
    """The working draft of an agent."""

    version: Annotated[Count, eg(4)]


class AgentSchema(Schema):
    """An agent with its draft."""

    id: Annotated[str, eg(examples.AGENT_ID)]
    name: Annotated[str, eg("Billing line")]
    channel: Annotated[Channel, eg("voice")]
    deactivated: bool
    draft: Draft
    latest_published: Annotated[Count | None, eg(3)]

    @classmethod
    def from_agent(cls, agent: Agent) -> Self:
        """Return an agent, loaded with ``drafts`` (its one) and ``latest_published``."""
        (draft,) = agent.drafts  # type: ignore[attr-defined]  # prefetched
        return cls(
            id=agent.public_id,
            name=agent.name,
            channel=Channel(agent.channel),
            deactivated=agent.deactivated_at is not None,
            draft=Draft(version=draft.number, **draft_document(draft)),
            latest_published=agent.latest_published,  # type: ignore[attr-defined]  # annotated
        )


class AgentIn(Body):
    """A new agent."""

    missing = InvalidDraft
    example = {"name": "Billing line", "channel": "voice"}

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
    channel: Annotated[Channel, Choice]
    template: Annotated[str, OneOf(tuple(BY_KEY))] | None = None
    """The template to copy fields and analysis prompt from; see `GET /api/agents/templates`."""

    @classmethod
    def error_for(cls, problems: list[FieldProblem]) -> UserError:
        """Return the error that pages show too, for a name or channel that can't be used."""
        first = problems[0]
        if first.kind in {"missing", "value"} and first.path != "template":
            return InvalidDraft([Fault(problem.path, problem.message) for problem in problems])
        return super().error_for(problems)


class TemplateSchema(Schema):
    """Fields and an analysis prompt to begin with."""

    key: Annotated[str, eg("support_short")]
    title: Annotated[str, eg("Support, short")]
    purpose: Annotated[str, eg("Six fields for every support conversation.")]
    schema_: Annotated[Json, Field(alias="schema"), eg(SCHEMA_EXAMPLE)]
    instructions: Annotated[str, eg("Judge each conversation from the outside.")]
    columns: Annotated[dict[str, str], eg({"summary": "summary", "outcome": "resolved"})]
    """The history columns that its fields feed. The built-in fields of these are turned off."""

    @classmethod
    def from_template(cls, template: Template) -> Self:
        """Return a template as it goes into a draft."""
        return cls(
            key=template.key,
            title=template.title,
            purpose=template.purpose,
            schema_=template.schema(),
            instructions=template.instructions,
            columns=template.columns,
        )


class Templates(Schema):
    """All templates."""

    items: list[TemplateSchema]


class Version(DraftContent):
    """One version with its content; a published one never changes."""

    version: Annotated[Count, eg(3)]
    published: Annotated[bool, eg(value=True)]
    published_at: Annotated[Time | None, eg("2025-01-12T09:12:44.120Z")]
    published_by: Annotated[str | None, eg("Grace Hopper")]
    title: Annotated[str, eg("Topics")]
    note: Annotated[str, eg("Asks what the call was about.")]
    config: Annotated[str, Field(pattern="^sha256:"), eg(examples.CONFIG)]

    @classmethod
    def from_version(cls, version: AgentVersion) -> Self:
        """Return a version, loaded with its config."""
        return cls(
            version=version.number,
            published=not version.is_draft,
            published_at=version.published_at,
            published_by=version.published_by or None,
            title=version.title,
            note=version.note,
            config=version.config.name,
            **draft_document(version),
        )


class PublishIn(Body):
    """The title and note of the version."""

    example = {"title": "Topics", "note": "Asks what the call was about."}

    title: Annotated[str, Field(max_length=MAX_NAME)] | None = None
    note: str | None = None


class Agents(Page[AgentSchema]):
    """One page of agents."""


class Versions(Page[Version]):
    """One page of versions."""

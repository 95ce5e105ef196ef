"""Agents, drafts and versions."""

from typing import Annotated, Literal

from pydantic import Field

from apps.agents.models import Channel

from .common import Closed, JsonObject, Shape, Time, page_of
from .conversations import Count


class BuiltIn(Shape):
    """One built-in category, with every default filled in."""

    prompt: str
    enabled: bool
    required: bool


class BuiltInIn(Closed):
    """Changes of one built-in category."""

    prompt: Annotated[str | None, Field(max_length=100_000)] = None
    """Null or empty: back to the default prompt."""
    enabled: bool = True
    required: bool = True


class AnalysisPart(Shape):
    """What an analysis asks, and whom."""

    model: str
    instructions: str
    built_ins: dict[str, BuiltIn]
    """Calls: `call_summary`, `call_successful`, `user_sentiment`; chats: `chat_summary`,
    `chat_successful`, `user_sentiment`."""
    schema_: Annotated[JsonObject, Field(alias="schema")]
    """The agent's own fields: a JSON Schema of an object."""


class AnalysisPartIn(Closed):
    """Changes of what an analysis asks."""

    model: str = ""
    instructions: Annotated[str | None, Field(max_length=100_000)] = None
    built_ins: dict[str, BuiltInIn] = {}
    schema_: Annotated[JsonObject | str, Field(alias="schema")] = {}
    """A JSON Schema of an object, as JSON or as the text of one."""


class PostAnalysis(Shape):
    """When an analysis starts by itself."""

    enabled: bool
    sample_percent: Annotated[float, Field(ge=0, le=100)]
    min_seconds: Count
    min_messages: Count
    chat_idle_seconds: Annotated[int, Field(ge=120, le=259_200)]
    long_transcript: Literal["refuse", "truncate"]
    retention_days: Annotated[int, Field(ge=1, le=36_500)] | None
    """Days after which conversations are erased by themselves; null: never. Set by admins."""


class PostAnalysisIn(Closed):
    """Changes of when an analysis starts by itself."""

    enabled: bool = True
    sample_percent: Annotated[float, Field(ge=0, le=100)] = 100
    min_seconds: Count = 0
    min_messages: Count = 0
    chat_idle_seconds: Annotated[int, Field(ge=120, le=259_200)] = 3600
    long_transcript: Literal["refuse", "truncate"] = "refuse"
    retention_days: Annotated[int, Field(ge=1, le=36_500)] | None = None


class Columns(Shape):
    """Which field feeds each of the three history columns; empty: none."""

    summary: str
    outcome: str
    sentiment: str


class ColumnsIn(Closed):
    """Changes of what feeds the history columns."""

    summary: str = ""
    outcome: str = ""
    sentiment: str = ""


class Draft(Shape):
    """The working draft of an agent."""

    version: Count
    analysis: AnalysisPart
    post_analysis: PostAnalysis
    columns: Columns


class DraftIn(Closed):
    """Any part of a draft; what is left out stays as it is."""

    analysis: AnalysisPartIn | None = None
    post_analysis: PostAnalysisIn | None = None
    columns: ColumnsIn | None = None


class Agent(Shape):
    """An agent with its draft."""

    id: str
    name: str
    channel: Channel
    deactivated: bool
    draft: Draft
    latest_published: Count | None


class AgentIn(Closed):
    """A new agent."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    channel: Channel
    template: Literal[
        "customer_support", "support_short", "sales_qualification", "quality_assurance"
    ] | None = None  # fmt: skip
    """The template whose fields and analysis prompt it begins with; see `GET
    /api/agents/templates`."""


class Template(Shape):
    """Fields and an analysis prompt to begin with."""

    key: str
    title: str
    purpose: str
    schema_: Annotated[JsonObject, Field(alias="schema")]
    instructions: str
    columns: dict[str, str]
    """The history columns that its fields feed; the built-in categories of these are switched
    off."""


class Templates(Shape):
    """All templates."""

    items: list[Template]


class Version(Shape):
    """One version with what it holds; a published one never changes."""

    version: Count
    published: bool
    published_at: Time | None
    published_by: str | None
    title: str
    note: str
    config: Annotated[str, Field(pattern="^sha256:")]
    analysis: AnalysisPart
    post_analysis: PostAnalysis
    columns: Columns


class PublishIn(Closed):
    """What to say of the version that is published."""

    title: Annotated[str, Field(max_length=200)] = ""
    note: str = ""


Agents = page_of(Agent, "Agents")
Versions = page_of(Version, "Versions")

"""Backfills: what is asked, previews, runs and items."""

from typing import Annotated, Literal

from pydantic import Field

from apps.agents.models import Channel
from apps.conversations.models import Reason
from apps.llm.errors import ErrorCode
from apps.runs.models import ItemState, PauseReason, State

from .common import Closed, Error, JsonObject, Money, Shape, Time, page_of
from .conversations import Count, SideEffects


class SampleByCount(Closed):
    """So many of those that match, drawn by their ids: the same ones each time."""

    count: Annotated[int, Field(ge=1, le=10_000_000)]


class SampleByShare(Closed):
    """A share of those that match, drawn by their ids: the same ones each time."""

    percent: Annotated[float, Field(gt=0, le=100)]


class BackfillIn(Closed):
    """Which conversations to analyse again, and how."""

    channel: Channel
    filters: dict[str, str | float | bool | list[str]] = {}
    """The filters of the history pages by their names; all must hold. A list is any of."""
    sample: SampleByCount | SampleByShare | None = None
    include_analyzed: bool = False
    """Also those that have a result of exactly these prompts."""
    side_effects: SideEffects | None = None
    lane: Literal["standard", "economy"] | None = None
    """`economy` is not available yet."""
    budget: str | None = None
    """A limit in US dollars. Not available yet: leave it out."""


class StartIn(BackfillIn):
    """A backfill to start."""

    token: str | None = None
    """What the preview answered: holds the start to its figures, and starts one run only."""


class NothingIn(Closed):
    """An empty object, or no body at all."""


class Estimate(Shape):
    """What it is expected to use. Money is null where a model has no price."""

    input_tokens: Count
    output_tokens: Count
    cost: Money | None
    cost_low: Money | None
    cost_high: Money | None
    seconds: float | None


class LeftOut(Shape):
    """Conversations that are left out, and why."""

    reason: str
    count: Count


class Group(Shape):
    """Those that are read with the same prompts."""

    label: str
    config: str
    model: str
    to_analyze: Count
    already_analyzed: Count


class Preview(Shape):
    """What a backfill would do, counted and priced."""

    matching: Count
    already_analyzed: Count
    not_analyzable: Count
    not_analyzable_reasons: dict[str, Count]
    left_out: list[LeftOut]
    to_analyze: Count
    agents: list[Group]
    estimate: Estimate
    as_of: Time
    token: str


class Counts(Shape):
    """Items by what became of them."""

    total: Count
    done: Count
    changed: Count
    unchanged: Count
    skipped: Count
    failed: Count
    running: Count
    pending: Count


class RunUsage(Shape):
    """What a run has used so far."""

    input_tokens: Count
    output_tokens: Count
    cost: Money | None


class Backfill(Shape):
    """One run."""

    id: str
    channel: Channel
    state: State
    reason: PauseReason | Literal[""]
    """Why it is paused."""
    reason_detail: str
    next_attempt_at: Time | None
    """When a run that is paused for its provider asks it again; null where it waits for a
    person."""
    attempts: Count
    """How often the provider was asked since the run last got on."""
    filters: dict[str, list[str]]
    options: JsonObject
    counts: Counts
    failures: dict[str, Count]
    """How many items failed, by error code."""
    estimate: Estimate
    usage: RunUsage
    created_by: str
    created_at: Time
    started_at: Time | None
    finished_at: Time | None


class Item(Shape):
    """One conversation of a run."""

    conversation_id: str | None
    """Null once the conversation was erased."""
    state: ItemState
    error_code: ErrorCode | Reason | str | None
    error_message: str | None
    analysis_id: str | None


class Outdated(Error):
    """The figures have changed since the preview; here are the new ones, with a new token."""

    preview: Preview | None = None


Backfills = page_of(Backfill, "Backfills")
Items = page_of(Item, "Items")

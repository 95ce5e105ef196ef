"""Backfills: requests, previews and items."""

from typing import Annotated, Self

from pydantic import SkipValidation

from apps.agents.models import Channel
from apps.conversations.models import Reason
from apps.core.errors import BadRequest
from apps.core.schemas import Choice, Count, Schema, Time, eg
from apps.llm.errors import ErrorCode
from apps.runs.models import ItemState, RunItem
from apps.runs.options import OptionsIn
from apps.runs.preview import Preview, RouteGroup
from apps.runs.schemas import BackfillSchema, Estimate

from . import examples
from .common import Error, Page


class BackfillIn(OptionsIn):
    """Which conversations to analyze again, and how."""

    by_field = {"channel": BadRequest, "filters": BadRequest, "token": BadRequest}
    example = {
        "channel": "voice",
        "filters": {"agent": examples.AGENT_ID, "started_at__gte": "2025-01-01"},
    }

    channel: Annotated[Channel, Choice]
    filters: dict[str, SkipValidation[str | float | bool | list[str]]] = {}
    """The filters of the history pages by their names. All filters must match; a list means
    any of its values."""


class StartIn(BackfillIn):
    """A backfill to start."""

    example = {**BackfillIn.example, "token": "eyJub25jZSI6…"}

    token: str | None = None
    """The token of the preview. The backfill starts only with the previewed numbers, and once."""


class LeftOut(Schema):
    """Conversations that are left out, and why."""

    reason: str
    count: Count


class Group(Schema):
    """Conversations that are analyzed with the same prompts."""

    label: Annotated[str, eg("Billing line V4 (draft)")]
    config: Annotated[str, eg(examples.CONFIG)]
    model: Annotated[str, eg("gpt-4.1-mini")]
    to_analyze: Annotated[Count, eg(1284)]
    already_analyzed: Annotated[Count, eg(0)]

    @classmethod
    def from_group(cls, group: RouteGroup) -> Self:
        """Return the conversations of one transfer path."""
        return cls(
            label=group.label,
            config=group.plan.config.name,
            model=group.plan.config.model.name,
            to_analyze=group.to_analyze,
            already_analyzed=group.already,
        )


class PreviewSchema(Schema):
    """The count and cost of a backfill before it starts."""

    matching: Annotated[Count, eg(1302)]
    already_analyzed: Annotated[Count, eg(0)]
    not_analyzable: Annotated[Count, eg(18)]
    not_analyzable_reasons: Annotated[dict[str, Count], eg({"no_speech": 18})]
    left_out: list[LeftOut]
    to_analyze: Annotated[Count, eg(1284)]
    agents: list[Group]
    estimate: Estimate
    as_of: Annotated[Time, eg("2025-01-18T16:00:00Z")]
    token: Annotated[str, eg("eyJub25jZSI6…")]

    @classmethod
    def from_preview(cls, preview: Preview, *, token: str) -> Self:
        """Return a preview with the token that agrees to it."""
        return cls(
            matching=preview.matching,
            already_analyzed=preview.already_analyzed,
            not_analyzable=preview.not_analyzable_total,
            not_analyzable_reasons=dict(preview.not_analyzable),
            left_out=[LeftOut(reason=why, count=count) for why, count in preview.left_out],
            to_analyze=preview.to_analyze,
            agents=[Group.from_group(group) for group in preview.groups],
            estimate=Estimate(**preview.estimate_json()),
            as_of=preview.as_of,
            token=token,
        )


class Item(Schema):
    """One conversation of a run."""

    conversation_id: Annotated[str | None, eg(examples.CONVERSATION_ID)]
    """Null once the conversation was erased."""
    state: Annotated[ItemState, eg("done")]
    error_code: ErrorCode | Reason | str | None
    error_message: str | None
    analysis_id: Annotated[str | None, eg(examples.ANALYSIS_ID)]

    @classmethod
    def from_item(cls, item: RunItem) -> Self:
        """Return an item, loaded with its conversation and analysis."""
        return cls(
            conversation_id=item.conversation.public_id if item.conversation else None,
            state=ItemState(item.state),
            error_code=item.error_code or None,
            error_message=item.error_message or None,
            analysis_id=item.analysis.public_id if item.analysis else None,
        )


class Outdated(Error):
    """The numbers have changed since the preview. Contains the new ones, with a new token."""

    preview: PreviewSchema | None = None


class Backfills(Page[BackfillSchema]):
    """One page of runs."""


class Items(Page[Item]):
    """One page of items."""

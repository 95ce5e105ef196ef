"""Backfills: requests, previews and items."""

from typing import Annotated, Self

from pydantic import SkipValidation

from apps.agents.models import Channel
from apps.analysis.effects import InvalidSideEffects, SideEffects
from apps.conversations.models import Reason
from apps.core.errors import BadRequest
from apps.core.schemas import Body, Choice, Count, Dollars, Json, Schema, Time, eg
from apps.llm.errors import ErrorCode
from apps.llm.ledger import tiers_of_run
from apps.runs.models import ItemState, Run, RunItem, SkipReason
from apps.runs.options import STANDARD, OptionsIn
from apps.runs.preview import Preview, RouteGroup
from apps.runs.report import report_of
from apps.runs.rollbacks.services import token_for
from apps.runs.rollbacks.work import RollbackPreview
from apps.runs.schemas import BackfillSchema, Estimate, RunUsage

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


class BudgetIn(Body):
    """The new budget of a backfill."""

    example = {"budget": "20.00"}

    budget: Annotated[str | None, Dollars()]
    """US dollars as text, null for no limit."""


class RollbackIn(Body):
    """Which results of a run to roll back, and how."""

    by_field = {"filters": BadRequest, "token": BadRequest, "side_effects": InvalidSideEffects}
    example = {"filters": {"agent": examples.AGENT_ID}, "preview": True}

    filters: dict[str, SkipValidation[str | float | bool | list[str]]] = {}
    """The filters of the history pages, and `changed`, `unchanged`, or `value` with the name of a
    field, and `from` and `to` with its values. Default: everything that the run changed."""
    preview: bool = False
    """Only count what would be restored and what would be left alone."""
    token: str | None = None
    """The token of the preview. The rollback starts once, and not if it would restore more."""
    side_effects: SideEffects | None = None


class RollbackPreviewSchema(Schema):
    """What a rollback would do."""

    to_restore: Annotated[Count, eg(301)]
    without_previous: Annotated[Count, eg(12)]
    """Of these, the conversations that had no result before and have none again."""
    left_alone: Annotated[Count, eg(4)]
    left_alone_reasons: Annotated[dict[str, Count], eg({"rerun_since": 4})]
    token: Annotated[str, eg("eyJub25jZSI6…")]

    @classmethod
    def from_preview(cls, preview: RollbackPreview) -> Self:
        """Return a preview with the token that agrees to it."""
        return cls(
            to_restore=preview.restore,
            without_previous=preview.emptied,
            left_alone=preview.left_total,
            left_alone_reasons=dict(preview.left),
            token=token_for(preview),
        )


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


_ESTIMATE: Json = {
    "input_tokens": 1656000,
    "output_tokens": 82000,
    "cost": "0.57800000",
    "cost_low": "0.49130000",
    "cost_high": "0.66470000",
    "seconds": 42.0,
}
_AT_FLEX: Json = {
    **_ESTIMATE,
    "cost": "0.28900000",
    "cost_low": "0.24565000",
    "cost_high": "0.33235000",
    "seconds": 126.0,
}


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
    """In the lane of the request."""
    lanes: Annotated[dict[str, Estimate], eg({"standard": _ESTIMATE, "flex": _AT_FLEX})]
    """The estimate of each lane that this backfill can have."""
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
            lanes={one.lane: Estimate(**one.as_dict()) for one in preview.lanes},
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
    reason: Annotated[SkipReason | None, eg(None)]
    """Why it was skipped, or left alone by a rollback."""

    @classmethod
    def from_item(cls, item: RunItem) -> Self:
        """Return an item, loaded with its conversation and analysis."""
        return cls(
            conversation_id=item.conversation.public_id if item.conversation else None,
            state=item.shown_state,
            error_code=item.error_code or None,
            error_message=item.error_message or None,
            analysis_id=item.analysis.public_id if item.analysis else None,
            reason=item.shown_skip_reason,
        )


_REPORT_FIELDS: Json = {
    "resolved": {
        "type": "boolean",
        "changed": 312,
        "unchanged": 988,
        "filled": 0,
        "emptied": 0,
        "transitions": [{"from": True, "to": False, "count": 312}],
        "before": {"true": 900, "false": 400},
        "after": {"true": 588, "false": 712},
    }
}


class Report(Schema):
    """What a run changed, by field."""

    fields: Annotated[dict[str, Json], eg(_REPORT_FIELDS)]
    """By field: `type`, `changed`, `unchanged`, `filled`, `emptied`, `transitions` from a value to
    another, and `before` and `after`."""
    estimate: Estimate
    usage: RunUsage
    tiers: Annotated[dict[str, Count], eg({"standard": 12, "flex": 1270})]
    """Paid responses by price: `standard`, `flex` as the provider reported it, and `batch`."""
    failures: Annotated[dict[str, Count], eg({"timeout": 2})]
    """Failed items by error code."""

    @classmethod
    def from_run(cls, run: Run) -> Self:
        """Return the report of a run as far as it is."""
        shown = BackfillSchema.from_run(run)
        return cls(
            fields={one.name: one.as_dict() for one in report_of(run)},
            estimate=shown.estimate,
            usage=shown.usage,
            tiers={tier or STANDARD: n for tier, n in tiers_of_run(run.public_id).items()},
            failures=shown.failures,
        )


class Outdated(Error):
    """The numbers have changed since the preview. Contains the new ones, with a new token."""

    preview: PreviewSchema | None = None


class RollbackOutdatedSchema(Error):
    """More would be restored than in the preview. Contains the new numbers, with a new token."""

    preview: RollbackPreviewSchema | None = None


class Backfills(Page[BackfillSchema]):
    """One page of runs."""


class Items(Page[Item]):
    """One page of items."""

"""Derived fields: requests, responses, and previews of recomputations."""

from typing import Annotated, Any, Self

from pydantic import Field, SkipValidation

from apps.agents.models import Channel, DerivedField, DerivedType
from apps.conversations.derived.definitions import InvalidDerivedField
from apps.core.errors import BadRequest
from apps.core.schemas import Body, Choice, Count, Schema, eg
from apps.runs.derived.work import RecomputePreview

from .common import Page

Document = dict[str, Any]
_RULE = {"field": "duration_ms", "op": "lt", "value": 600000}
_SCORECARD = {
    "points": [
        {"label": "Inbound", "when": {"field": "direction", "value": "inbound"}, "points": 10},
        {"label": "Short", "when": _RULE, "points": 20},
    ],
    "pass_mark": 70,
    "knock_outs": [
        {
            "label": "Lost",
            "when": {"field": "disconnection_reason", "value": "inactivity"},
        }
    ],
}


class DerivedFieldIn(Body):
    """A derived field. Its name is in the address."""

    missing = InvalidDerivedField
    invalid = InvalidDerivedField
    wrong_type = InvalidDerivedField
    example = {
        "label": "Quality",
        "type": "number",
        "channel": "voice",
        "agent_id": None,
        "scorecard": _SCORECARD,
    }

    label: Annotated[str, Field(max_length=100, examples=["Quality"])]
    type: Annotated[DerivedType, Choice]
    """`boolean` has a `rule`, `choice` has `cases`, and `number` has a `scorecard`."""
    channel: Annotated[Channel, Choice] = Channel.VOICE
    agent_id: str | None = None
    """Only results of this agent; null for all that have one of the fields it reads."""
    rule: SkipValidation[Document | None] = None
    """Conditions, such as `{"any": [{"field", "op", "value"}]}`. `any` and `all` nest."""
    cases: SkipValidation[list[Document] | None] = None
    """`{"value", "when"}`: the value of the first whose conditions match."""
    otherwise: str | None = None
    """The value where no case matches."""
    scorecard: SkipValidation[Document | None] = None
    """`points` of `{"label", "when", "points"}`, `pass_mark` in percent, and `knock_outs`."""

    def definition(self) -> Document:
        """Return the parts that were given, for the service to check."""
        given = {"rule": self.rule, "cases": self.cases, "scorecard": self.scorecard}
        found: Document = {name: value for name, value in given.items() if value is not None}
        if self.otherwise is not None:
            found["otherwise"] = self.otherwise
        return found


class DerivedFieldSchema(Schema):
    """A derived field."""

    name: Annotated[str, eg("quality")]
    label: Annotated[str, eg("Quality")]
    type: Annotated[DerivedType, eg("number")]
    channel: Annotated[Channel, eg("voice")]
    agent_id: str | None
    rule: Annotated[Document | None, eg(None)]
    cases: Annotated[list[Document] | None, eg(None)]
    otherwise: Annotated[str | None, eg(None)]
    scorecard: Annotated[Document | None, eg(_SCORECARD)]

    @classmethod
    def from_field(cls, field: DerivedField) -> Self:
        """Return a field, loaded with its agent."""
        parts = field.definition
        return cls(
            name=field.name,
            label=field.label,
            type=DerivedType(field.type),
            channel=Channel(field.channel),
            agent_id=field.agent.public_id if field.agent else None,
            rule=parts.get("rule"),
            cases=parts.get("cases"),
            otherwise=parts.get("otherwise"),
            scorecard=parts.get("scorecard"),
        )


class DerivedFields(Page[DerivedFieldSchema]):
    """One page of derived fields."""


class RecomputeIn(Body):
    """Whether to only count."""

    by_field = {"token": BadRequest}
    example = {"preview": True}

    preview: bool = False
    """Only count the past results that would change."""
    token: str | None = None
    """The token of the preview. The run starts once, and not if more results would change."""


class FlipSchema(Schema):
    """How many results change from one value to another; null for no value."""

    before: Annotated[Any, eg("true")]
    after: Annotated[Any, eg("false")]
    count: Annotated[Count, eg(12)]


class RecomputePreviewSchema(Schema):
    """The counts of a recomputation before it starts."""

    results: Annotated[Count, eg(1240)]
    changed: Annotated[Count, eg(312)]
    field: Annotated[str, eg("quality_passed")]
    """The field that `flips` are of."""
    flips: list[FlipSchema]
    token: Annotated[str, eg("eyJub25jZSI6…")]

    @classmethod
    def of(cls, preview: RecomputePreview) -> Self:
        """Return a preview with the token that agrees to it."""
        return cls(
            results=preview.results,
            changed=preview.changed,
            field=preview.flips_of,
            flips=[
                FlipSchema(before=one.before, after=one.after, count=one.count)
                for one in preview.flips
            ],
            token=preview.token,
        )

"""Mapping runs: requests and previews."""

from typing import Annotated, Self

from pydantic import SkipValidation

from apps.agents.models import Channel
from apps.core.errors import BadRequest
from apps.core.schemas import Body, Choice, Count, Money, Schema, eg
from apps.runs.mappings.estimate import SummaryEstimate
from apps.runs.mappings.work import MappingPreview

from . import examples


class ApplyIn(Body):
    """Which conversations to apply the mappings to."""

    by_field = {"channel": BadRequest, "filters": BadRequest, "token": BadRequest}
    example = {"channel": "voice", "filters": {"agent": examples.AGENT_ID}, "preview": True}

    channel: Annotated[Channel, Choice]
    filters: dict[str, SkipValidation[str | float | bool | list[str]]] = {}
    """The filters of the history pages by their names. All filters must match."""
    preview: bool = False
    """Only count conversations and contacts, and estimate what combining texts costs."""
    token: str | None = None
    """The token of the preview. The run starts once, and not if more conversations match."""


class SummaryEstimateSchema(Schema):
    """The estimated usage of a model that combines accumulated texts after a mapping run."""

    requests: Annotated[Count, eg(64)]
    """One per contact and field with at least two different texts."""
    input_tokens: Annotated[Count, eg(25600)]
    output_tokens: Annotated[Count, eg(7700)]
    cost: Annotated[Money | None, eg("0.0225600")]
    """Null if a model has no price."""


class ApplyPreview(Schema):
    """The counts of a mapping run before it starts."""

    conversations: Annotated[Count, eg(301)]
    contacts: Annotated[Count, eg(120)]
    summaries: SummaryEstimateSchema | None
    """Null if no mapping accumulates texts: then no model is asked."""
    token: Annotated[str, eg("eyJub25jZSI6…")]

    @classmethod
    def of(cls, preview: MappingPreview, summaries: SummaryEstimate | None) -> Self:
        """Return a preview with the token that agrees to it."""
        return cls(
            conversations=preview.conversations,
            contacts=preview.contacts,
            summaries=None if summaries is None else _estimate(summaries),
            token=preview.token,
        )


def _estimate(found: SummaryEstimate) -> SummaryEstimateSchema:
    return SummaryEstimateSchema(
        requests=found.requests,
        input_tokens=found.input_tokens,
        output_tokens=found.output_tokens,
        cost=None if found.cost is None else f"{found.cost:f}",
    )

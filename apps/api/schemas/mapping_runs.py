"""Mapping runs: requests and previews."""

from typing import Annotated, Self

from pydantic import SkipValidation

from apps.agents.models import Channel
from apps.core.errors import BadRequest
from apps.core.schemas import Body, Choice, Count, Schema, eg
from apps.runs.mapping_runs import MappingPreview

from . import examples


class ApplyIn(Body):
    """Which conversations to apply the mappings to."""

    by_field = {"channel": BadRequest, "filters": BadRequest, "token": BadRequest}
    example = {"channel": "voice", "filters": {"agent": examples.AGENT_ID}, "preview": True}

    channel: Annotated[Channel, Choice]
    filters: dict[str, SkipValidation[str | float | bool | list[str]]] = {}
    """The filters of the history pages by their names. All filters must match."""
    preview: bool = False
    """Only count conversations and contacts."""
    token: str | None = None
    """The token of the preview. The run starts once, and not if more conversations match."""


class ApplyPreview(Schema):
    """The counts of a mapping run before it starts."""

    conversations: Annotated[Count, eg(301)]
    contacts: Annotated[Count, eg(120)]
    token: Annotated[str, eg("eyJub25jZSI6…")]

    @classmethod
    def from_preview(cls, preview: MappingPreview) -> Self:
        """Return a preview with the token that agrees to it."""
        return cls(
            conversations=preview.conversations, contacts=preview.contacts, token=preview.token
        )

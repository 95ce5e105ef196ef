"""Responses to the webhooks of platforms."""

from typing import Annotated, Literal, Self

from apps.core.schemas import Schema, eg
from apps.platforms.models import IntakePayload

from . import examples


class Payload(Schema):
    """A webhook as the platform sends it; each platform has its own form."""

    example = {"event": "call_ended", "call": {"call_id": "call_7", "agent_id": "agent_2"}}


class Received(Schema):
    """The outcome of a platform's payload."""

    state: Annotated[Literal["taken"], eg("taken")]
    conversation_id: Annotated[str | None, eg(examples.CONVERSATION_ID)]
    """The conversation it belongs to; null where it contains nothing to store."""
    note: Annotated[str, eg("")]

    @classmethod
    def from_payload(cls, payload: IntakePayload) -> Self:
        """Return an accepted payload."""
        conversation = payload.conversation
        return cls(
            state="taken",
            conversation_id=conversation.public_id if conversation else None,
            note=payload.note,
        )

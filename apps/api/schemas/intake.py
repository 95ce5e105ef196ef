"""Webhooks of platforms, and what they are answered."""

from typing import Literal, Self

from apps.core.schemas import Schema
from apps.platforms.models import IntakePayload

from . import examples


class Payload(Schema):
    """A webhook as the platform sends it; each platform has its own form."""

    example = {"event": "call_ended", "call": {"call_id": "call_7", "agent_id": "agent_2"}}


class Received(Schema):
    """What became of a platform's payload."""

    example = {"state": "taken", "conversation_id": examples.CONVERSATION_ID, "note": ""}

    state: Literal["taken"]
    conversation_id: str | None
    """The conversation it belongs to; null where it contains nothing to store."""
    note: str

    @classmethod
    def from_payload(cls, payload: IntakePayload) -> Self:
        """Return an accepted payload."""
        conversation = payload.conversation
        return cls(
            state="taken",
            conversation_id=conversation.public_id if conversation else None,
            note=payload.note,
        )

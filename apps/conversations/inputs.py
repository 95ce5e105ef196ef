"""A conversation as it was sent: read and checked, not yet stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from apps.core.errors import Example, UserError

from .models import OPEN, PLAIN_TEXT, Conversation, Status, TransferSetting

Message = dict[str, Any]

MAX_LENGTHS = {
    "agent_id": 200,
    **{
        name: int(getattr(Conversation._meta.get_field(name), "max_length", 0))
        for name in ("source", "external_id", "from_number", "to_number", *PLAIN_TEXT)
    },
    "recording_url": 4_000,
    "phone_number": 60,
    "email": 320,
    "first_name": 200,
    "last_name": 200,
    "message": 300,
}
"""Longest texts by their keys in a line, in characters; of columns, what the column holds.
``message`` is for the name and the IDs of a message. Parsers check them, and the API documents
them."""


@dataclass(frozen=True, slots=True)
class ContactInput:
    """Who it was with; unknown parts are empty."""

    phone_number: str = ""
    email: str = ""
    first_name: str = ""
    last_name: str = ""


@dataclass(frozen=True, slots=True)
class TransferInput:
    """A move to another agent (its id) after this many messages."""

    after_message: int
    to_agent: str
    setting: str = TransferSetting.ONLY_DESTINATION_AGENT.value


@dataclass(frozen=True, slots=True)
class ConversationInput:
    """One conversation; empty and None mean unknown to the sender.

    ``agent`` is Debrief's id or the platform's; empty leaves it to the source's default. ``at``
    of a message is ISO 8601. ``analysis`` is a result that another platform made.
    """

    channel: str
    agent: str = ""
    agent_version: int | None = None
    source: str = "api"
    external_id: str = ""
    status: str = Status.ENDED.value
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_ms: int | None = None
    direction: str = ""
    from_number: str = ""
    to_number: str = ""
    recording_url: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Values of the columns of `PLAIN_TEXT`."""
    contact: ContactInput | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    dynamic_variables: Mapping[str, Any] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    transfers: tuple[TransferInput, ...] = ()
    analysis: Mapping[str, Any] | None = None

    @property
    def end(self) -> datetime | None:
        """Return when it ended; an open one lasted for ``duration_ms`` so far and has no end."""
        return None if self.status in OPEN else self.ended_at


class LineRefused(UserError):
    """One conversation that cannot be ingested. ``code`` is for programs, per instance."""

    status: ClassVar[int] = 422
    examples = {
        "unknown_agent": Example(
            "agent_id: no agent with ID “agt_x”.",
            {"agent_id": "agent_id: no agent with ID “agt_x”."},
        ),
        "channel_mismatch": Example(
            "agent_id: the agent “agt_x” is a chat agent. The conversation's channel is voice.",
            {"agent_id": "A chat agent."},
        ),
        "not_storable": Example(
            "Couldn't store this conversation: it is larger than the database can store."
        ),
        "unreadable_transcript": Example(
            "Couldn't read transcript: it is missing. The payload is stored and can be replayed."
        ),
    }

    def __init__(self, code: str, message: str, field_name: str = "") -> None:
        super().__init__(message, {field_name: message} if field_name else None)
        self.code = code  # type: ignore[misc]  # the base's is per class; lines have many

"""Conversations as programs read them: in the API, in exports, and in payloads of webhooks."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from apps.agents.models import Channel
from apps.contacts.models import Contact
from apps.core.schemas import AS_STORED, Count, Json, Schema, Time, eg
from apps.llm.errors import ErrorCode

from .models import (
    AnalysisState,
    Conversation,
    Direction,
    Reason,
    Status,
    Transfer,
    TransferSetting,
)

Role = Literal["agent", "user", "system", "tool_call", "tool_result", "transfer", "dtmf", "event"]


MESSAGES = [
    {"role": "agent", "content": "Billing, how can I help?", "at": "2025-01-18T15:29:00Z"},
    {"role": "user", "content": "I was charged twice for March."},
    {"role": "agent", "content": "I have refunded one of the two."},
]


class MessageSchema(Schema):
    """One item of a transcript."""

    role: Role
    content: str
    at: Time | None = None
    """When it was said; absent where it isn't known."""
    name: str = ""
    """Who said it, or the tool, where the sender named it."""
    tool_call_id: str = ""
    """Links a tool call and its result, where the sender named it."""
    id: str = ""
    """The sender's id of the message, where there was one."""


class ContactSchema(Schema):
    """The person the conversation was with."""

    phone_number: Annotated[str | None, eg("+14155550123")]
    email: str | None
    first_name: Annotated[str | None, eg("Ada")]
    last_name: str | None

    @classmethod
    def from_contact(cls, contact: Contact | None) -> Self | None:
        """Return a contact; None where there is none."""
        if contact is None:
            return None
        return cls(
            phone_number=contact.phone_number,
            email=contact.email,
            first_name=contact.first_name or None,
            last_name=contact.last_name or None,
        )


class TransferSchema(Schema):
    """A transfer to another agent."""

    after_message: Count
    to_agent_id: str
    post_call_analysis_setting: TransferSetting

    @classmethod
    def from_transfer(cls, transfer: Transfer) -> Self:
        """Return a transfer, loaded with its agent."""
        return cls(
            after_message=transfer.after_message,
            to_agent_id=transfer.to_version.agent.public_id,
            post_call_analysis_setting=TransferSetting(transfer.setting),
        )


class ConversationRow(Schema):
    """A conversation as lists show it."""

    id: Annotated[str, eg("conv_4uOs8NxX0dTq1nKpUrZ3aB")]
    external_id: Annotated[str, eg("call-1093")]
    """The id on the platform, or Debrief's own where it has none."""
    source: Annotated[str, eg("api")]
    agent_id: Annotated[str, eg("agt_7cJkQ2mVfE5wYbR9tHs1Ld")]
    """The first agent of the conversation."""
    agent_version: Annotated[Count, eg(3)]
    channel: Annotated[Channel, eg("voice")]
    status: Annotated[Status, eg("ended")]
    language: Annotated[str | None, eg("en")]
    started_at: Annotated[Time | None, eg("2025-01-18T15:29:00Z")]
    ended_at: Annotated[Time | None, eg("2025-01-18T15:30:01Z")]
    duration_ms: Annotated[Count | None, eg(61000)]
    direction: Annotated[Direction | None, eg("inbound")]
    from_number: Annotated[str | None, eg("+14155550123")]
    to_number: Annotated[str | None, eg("+14155550100")]
    disconnection_reason: Annotated[str | None, eg("user_hangup")]
    recording_url: str | None
    contact: Annotated[ContactSchema | None, eg(ContactSchema.get_example())]
    message_count: Annotated[Count, eg(3)]
    analysis_state: Annotated[AnalysisState, eg("succeeded")]
    analysis_reason: Reason | ErrorCode | None
    """Why there is no result: a reason, or the error code of a failure."""
    stale: bool
    """Messages arrived after the analysis finished."""
    silent_since: Time | None
    """When the last message arrived, while it is open. Unless its source is `api`, a chat ends
    after the silence that its agent allows, a call after 24 hours or what the installation sets."""
    analysis: Annotated[
        Json | None,
        eg(
            {
                "call_summary": "The caller was charged twice for March; one charge was refunded.",
                "call_successful": True,
                "user_sentiment": "Neutral",
                "topic": "billing",
            }
        ),
    ]
    """The current result's values, by the name of their fields."""

    @classmethod
    def from_conversation(cls, conversation: Conversation, **more: Any) -> Self:
        """Return a conversation, loaded with its agents and contact."""
        columns: dict[str, Any] = {}
        for name in ConversationRow.model_fields.keys() - _NO_COLUMNS:
            value = getattr(conversation, name)
            columns[name] = None if value == "" else value
        return cls(
            id=conversation.public_id,
            agent_id=conversation.agent.public_id,
            agent_version=conversation.agent_version.number,
            contact=ContactSchema.from_contact(conversation.contact),
            analysis=conversation.analysis_data,
            **columns,
            **more,
        )


_NO_COLUMNS = {"id", "agent_id", "agent_version", "contact", "analysis"}
"""Fields that aren't the column of the same name."""


class ConversationSchema(ConversationRow):
    """A conversation with all its data."""

    metadata: Annotated[Json, eg({"plan": "gold"})]
    dynamic_variables: Json
    messages: Annotated[list[MessageSchema], AS_STORED, eg(MESSAGES)]
    transfers: Annotated[list[TransferSchema], eg([])]

    @classmethod
    def whole(
        cls,
        conversation: Conversation,
        transfers: Iterable[Transfer] | None = None,
    ) -> Self:
        """Return a conversation, loaded with its transcript, attributes and transfers too.

        Pass the ``transfers`` of one that is in memory, and they are not read.
        """
        if transfers is None:
            transfers = conversation.transfers.all()
        return cls.from_conversation(
            conversation,
            metadata=conversation.attributes.metadata,
            dynamic_variables=conversation.attributes.dynamic_variables,
            messages=conversation.transcript.messages,
            transfers=[TransferSchema.from_transfer(transfer) for transfer in transfers],
        )

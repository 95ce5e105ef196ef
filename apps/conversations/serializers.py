"""Conversations as programs see them: the API and the export."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from .models import Conversation, Transfer


def conversation_json(
    conversation: Conversation, *, whole: bool, transfers: Iterable[Transfer] | None = None
) -> dict[str, Any]:
    """A conversation; ``whole`` adds transcript, transfers and attributes, loaded with it.

    Pass the ``transfers`` of one that is in memory, and they are not read.
    """
    contact = conversation.contact
    shown: dict[str, Any] = {
        "id": conversation.public_id,
        "external_id": conversation.external_id,
        "source": conversation.source,
        "agent_id": conversation.agent.public_id,
        "agent_version": conversation.agent_version.number,
        "channel": conversation.channel,
        "status": conversation.status,
        "language": conversation.language or None,
        "started_at": _exact(conversation.started_at),
        "ended_at": _exact(conversation.ended_at),
        "duration_ms": conversation.duration_ms,
        "direction": conversation.direction or None,
        "from_number": conversation.from_number or None,
        "to_number": conversation.to_number or None,
        "disconnection_reason": conversation.disconnection_reason or None,
        "recording_url": conversation.recording_url or None,
        "contact": None
        if contact is None
        else {
            "phone_number": contact.phone_number,
            "email": contact.email,
            "first_name": contact.first_name or None,
            "last_name": contact.last_name or None,
        },
        "message_count": conversation.message_count,
        "analysis_state": conversation.analysis_state,
        "analysis_reason": conversation.analysis_reason or None,
        "stale": conversation.stale,
        "silent_since": _exact(conversation.silent_since),
        "analysis": conversation.analysis_data,
    }
    if whole:
        shown |= _rest(
            conversation, conversation.transfers.all() if transfers is None else transfers
        )
    return shown


def _exact(at: datetime | None) -> str | None:
    """A time to the microsecond: read again, it is the same time."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _rest(conversation: Conversation, transfers: Iterable[Transfer]) -> dict[str, Any]:
    return {
        "metadata": conversation.attributes.metadata,
        "dynamic_variables": conversation.attributes.dynamic_variables,
        "messages": conversation.transcript.messages,
        "transfers": [
            {
                "after_message": transfer.after_message,
                "to_agent_id": transfer.to_version.agent.public_id,
                "post_call_analysis_setting": transfer.setting,
            }
            for transfer in transfers
        ],
    }

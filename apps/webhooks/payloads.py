"""What other programs read: the pieces of payloads that events share.

Each room builds the payloads of its own events; keys are in the order in which they are sent.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from apps.conversations.models import Conversation
from apps.conversations.schemas import ContactSchema


def conversation_part(conversation: Conversation) -> dict[str, Any]:
    """Return the ``conversation`` object of a payload.

    Reads ``contact`` and ``attributes``: select them with the row. What is unknown is null.
    """
    attributes = getattr(conversation, "attributes", None)
    contact = ContactSchema.from_contact(conversation.contact)
    return {
        "external_id": conversation.external_id,
        "source": conversation.source,
        "channel": conversation.channel,
        "started_at": moment(conversation.started_at),
        "duration_ms": conversation.duration_ms,
        "contact": contact.as_dict() if contact else None,
        "metadata": attributes.metadata if attributes else {},
    }


def moment(at: datetime | None) -> str | None:
    """Return a time as payloads write it: ISO 8601 in UTC, ``2025-01-18T15:30:00Z``."""
    if at is None:
        return None
    precision = "milliseconds" if at.microsecond else "seconds"
    return at.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def body_of(payload: Mapping[str, Any]) -> str:
    """Return the body as it is signed and sent: compact JSON, keys in order."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"), cls=DjangoJSONEncoder)

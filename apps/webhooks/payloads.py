"""What other programs read: the pieces of payloads that events share.

Each room builds the payloads of its own events; keys are in the order in which they are sent.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from apps.contacts.models import Contact
from apps.conversations.models import Conversation


def conversation_part(conversation: Conversation) -> dict[str, Any]:
    """The ``conversation`` object of a payload.

    Reads ``contact`` and ``attributes``: select them with the row. What is unknown is null.
    """
    attributes = getattr(conversation, "attributes", None)
    return {
        "external_id": conversation.external_id,
        "source": conversation.source,
        "channel": conversation.channel,
        "started_at": moment(conversation.started_at),
        "duration_ms": conversation.duration_ms,
        "contact": _contact_part(conversation.contact),
        "metadata": attributes.metadata if attributes else {},
    }


def _contact_part(contact: Contact | None) -> dict[str, Any] | None:
    if contact is None:
        return None
    return {
        "phone_number": contact.phone_number,
        "email": contact.email,
        "first_name": contact.first_name or None,
        "last_name": contact.last_name or None,
    }


def moment(at: datetime | None) -> str | None:
    """A time as payloads write it: ISO 8601 in UTC, ``2025-01-18T15:30:00Z``."""
    if at is None:
        return None
    precision = "milliseconds" if at.microsecond else "seconds"
    return at.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def body_of(payload: Mapping[str, Any]) -> str:
    """The body as it is signed and sent: compact JSON, keys in the order given."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":"), cls=DjangoJSONEncoder)

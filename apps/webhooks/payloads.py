"""What other programs read: the pieces of payloads that events share.

Each room builds the payloads of its own events; keys are in the order in which they are sent.
"""

from typing import Any

from apps.conversations.models import Conversation
from apps.conversations.schemas import ContactSchema
from apps.core.payloads import moment


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

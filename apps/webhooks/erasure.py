"""Events of erased conversations."""

from collections.abc import Sequence

from django.db import connection

_DELETE = (
    """DELETE FROM webhooks_delivery d USING webhooks_event e
       WHERE e.id = d.event_id AND e.conversation_id = ANY(%s)""",
    "DELETE FROM webhooks_event WHERE conversation_id = ANY(%s)",
)


def delete_of(conversation_ids: Sequence[int]) -> None:
    """Delete the deliveries and events of these conversations, sent or not."""
    with connection.cursor() as cursor:
        for statement in _DELETE:
            cursor.execute(statement, [list(conversation_ids)])

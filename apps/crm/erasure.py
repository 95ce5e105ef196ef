"""Pushes of erased conversations, and of contacts that were merged."""

from collections.abc import Sequence

from django.db import connection

from .models import PushState

# A push that was sent before may hold an erased value as the one before a change, whichever
# conversation that change came from. So nothing that ended is kept of a contact that loses a
# conversation. An open push is read from the contact at the time of sending, which has the values
# that are left; until then it keeps only the names of its fields.
_LOCK = "SELECT id FROM contacts_contact WHERE id = ANY(%(contacts)s) ORDER BY id FOR UPDATE"
_ENDED = """
DELETE FROM crm_push p WHERE p.kind = 'fields'
  AND (p.contact_id = ANY(%(contacts)s) OR p.conversation_ids && %(conversations)s::bigint[])
  AND p.state NOT IN ('pending', 'waiting_for_approval')
"""
_OPEN = """
UPDATE crm_push p SET before = '{}', sent = '{}', request = '', response = '', message = '',
  wanted = coalesce((SELECT jsonb_object_agg(k, NULL) FROM jsonb_object_keys(p.wanted) k), '{}'),
  conversation_ids = ARRAY(SELECT u FROM unnest(p.conversation_ids) u
    WHERE u <> ALL(%(conversations)s::bigint[]) ORDER BY u)
WHERE p.kind = 'fields'
  AND (p.contact_id = ANY(%(contacts)s) OR p.conversation_ids && %(conversations)s::bigint[])
"""
_ACTIVITIES = "DELETE FROM crm_push WHERE conversation_id = ANY(%(conversations)s)"


def delete_of(conversation_ids: Sequence[int], contact_ids: Sequence[int]) -> None:
    """Delete the ended pushes of these conversations and their contacts.

    Open ones keep the names of their fields, without values.
    """
    values = {"conversations": list(conversation_ids), "contacts": list(contact_ids)}
    with connection.cursor() as cursor:
        # Contacts before their pushes: the order in which everyone locks.
        cursor.execute(_LOCK, values)
        for statement in (_ACTIVITIES, _ENDED, _OPEN):
            cursor.execute(statement, values)


_MOVE_RECORDS = """
UPDATE crm_remotecontact r SET contact_id = %(into)s WHERE r.contact_id = %(merged)s
  AND NOT EXISTS (SELECT 1 FROM crm_remotecontact other
    WHERE other.contact_id = %(into)s AND other.connection_id = r.connection_id)
"""
_MOVE_PUSHES = """
UPDATE crm_push p SET contact_id = %(into)s WHERE p.contact_id = %(merged)s
  AND NOT (p.kind = 'fields' AND p.state = ANY(%(open)s))
"""


def move_to(*, merged: int, into: int) -> bool:
    """Give a contact the records and pushes of one that is merged into it and then deleted.

    The record in a CRM follows where the contact has none of its own there. Pushes of the merged
    contact that aren't sent yet vanish with it: the fold of the contact writes new ones. Return
    whether a record followed: it holds the values of the merged contact.
    """
    values: dict[str, int | list[str]] = {
        "merged": merged,
        "into": into,
        "open": [PushState.PENDING.value, PushState.WAITING.value],
    }
    with connection.cursor() as cursor:
        cursor.execute(_MOVE_RECORDS, values)
        moved = int(cursor.rowcount) > 0
        cursor.execute(_MOVE_PUSHES, values)
    return moved

"""Conversations on their way to CRMs as activities.

A first result logs the conversation once per connection. Another result updates the activity that
it made, and makes none: switching the log on and rerunning old conversations logs nothing.
"""

import json
from collections.abc import Sequence
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from .models import CrmConnection, push_id
from .outbox import wake_pushes

DELAY = timedelta(seconds=10)
"""How long a conversation waits, so that the record of its contact is there before it."""


def conversations_analyzed(*, first: Sequence[int], again: Sequence[int]) -> None:
    """Log conversations (by primary key) that have a result now.

    ``first`` had none before, ``again`` had one. Call it inside the transaction that records the
    results, under the locks of the conversations. Without a connection that logs conversations,
    this is one query of a tiny table.
    """
    if not (first or again):
        return
    logging = list(
        CrmConnection.objects.filter(log_conversations=True)
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    if not logging:
        return
    if first:
        _log(first, logging)
    if again:
        _update(again, logging)
    wake_pushes()


_LOG = """
INSERT INTO crm_push (public_id, connection_id, contact_id, kind, conversation_id,
  conversation_ids, state, not_before, created_at, changed_at)
SELECT v.public_id, x.id, c.contact_id, 'activity', c.id, ARRAY[c.id], 'pending', %(due)s,
  %(now)s, %(now)s
FROM jsonb_to_recordset(%(rows)s::jsonb) AS v(public_id text, connection_id bigint,
  conversation_id bigint)
JOIN conversations_conversation c ON c.id = v.conversation_id AND c.contact_id IS NOT NULL
JOIN crm_crmconnection x ON x.id = v.connection_id
ORDER BY x.id, c.id
ON CONFLICT DO NOTHING
"""


def _log(conversation_ids: Sequence[int], connections: Sequence[int]) -> None:
    rows = [
        {"public_id": push_id(), "connection_id": crm, "conversation_id": conversation}
        for crm in connections
        for conversation in sorted(set(conversation_ids))
    ]
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(_LOG, {"rows": json.dumps(rows), "now": now, "due": now + DELAY})


# One that is being sent at this moment is pending again when it is recorded.
_UPDATE = """
UPDATE crm_push p SET revision = p.revision + 1, changed_at = %(now)s, state = 'pending',
  not_before = CASE WHEN p.state = 'pending' THEN p.not_before ELSE %(due)s END,
  attempts = CASE WHEN p.state = 'pending' THEN p.attempts ELSE 0 END, finished_at = NULL
WHERE p.kind = 'activity' AND p.conversation_id = ANY(%(conversations)s)
  AND p.connection_id = ANY(%(connections)s)
"""


def _update(conversation_ids: Sequence[int], connections: Sequence[int]) -> None:
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(
            _UPDATE,
            {
                "conversations": list(conversation_ids),
                "connections": list(connections),
                "now": now,
                "due": now + DELAY,
            },
        )

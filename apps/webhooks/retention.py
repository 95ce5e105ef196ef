"""How long what was sent is kept to be looked at and sent again."""

from datetime import datetime, timedelta

from django.db import connection

KEPT = timedelta(days=30)
_BATCH = 10_000

_DELIVERIES = """
DELETE FROM webhooks_delivery WHERE id IN (
  SELECT id FROM webhooks_delivery
  WHERE created_at < %(before)s AND finished_at < %(before)s AND state <> 'pending'
  ORDER BY id LIMIT %(batch)s FOR UPDATE SKIP LOCKED)
"""

_EVENTS = """
DELETE FROM webhooks_event WHERE id IN (
  SELECT v.id FROM webhooks_event v WHERE v.created_at < %(before)s
    AND NOT EXISTS (SELECT 1 FROM webhooks_delivery d WHERE d.event_id = v.id)
  ORDER BY v.id LIMIT %(batch)s FOR UPDATE SKIP LOCKED)
"""


def forget_old(now: datetime) -> int:
    """Delete deliveries that were settled more than ``KEPT`` ago, and the events that no delivery
    holds any more; how many rows. In batches, so that no transaction is long."""
    return sum(_delete(statement, now - KEPT) for statement in (_DELIVERIES, _EVENTS))


def _delete(statement: str, before: datetime) -> int:
    deleted = 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(statement, {"before": before, "batch": _BATCH})
            rows: int = cursor.rowcount
            deleted += rows
            if rows < _BATCH:
                return deleted

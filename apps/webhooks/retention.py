"""Delete old deliveries, which can be viewed and sent again until then."""

from datetime import datetime, timedelta

from apps.core.database import run_in_batches

KEPT = timedelta(days=30)

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
    """Delete deliveries that were settled longer than `KEPT` ago, and events without a delivery.

    Return the number of deleted rows.
    """
    return sum(run_in_batches(statement, before=now - KEPT) for statement in (_DELIVERIES, _EVENTS))

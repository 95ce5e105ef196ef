"""Delete old pushes that have ended."""

from datetime import datetime, timedelta

from apps.core.database import run_in_batches

KEPT = timedelta(days=30)

# Parked and failed ones wait for a person; a logged conversation keeps the ID of its activity.
_DELETE = """
DELETE FROM crm_push WHERE id IN (
  SELECT id FROM crm_push
  WHERE finished_at < %(before)s AND kind = 'fields' AND state IN ('sent', 'dropped')
  ORDER BY id LIMIT %(batch)s FOR UPDATE SKIP LOCKED)
"""
_STRIP = """
UPDATE crm_push SET request = '', response = '' WHERE id IN (
  SELECT id FROM crm_push
  WHERE finished_at < %(before)s AND kind = 'activity' AND state IN ('sent', 'dropped')
    AND (request <> '' OR response <> '')
  ORDER BY id LIMIT %(batch)s FOR UPDATE SKIP LOCKED)
"""


def forget_old(now: datetime) -> int:
    """Delete pushes that were sent or dropped longer than `KEPT` ago; return how many rows."""
    return sum(run_in_batches(statement, before=now - KEPT) for statement in (_DELETE, _STRIP))

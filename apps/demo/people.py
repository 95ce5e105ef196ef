"""The invented colleagues of the demo, and their working hours."""

from datetime import date, datetime, time, timedelta

from django.utils import timezone

from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry, Role

_OFFICE = time(9, 40)


def person(name: str) -> Actor:
    """Return a colleague who edits agents and runs backfills."""
    return Actor(name, Role.EDITOR, None, AuditEntry.Via.SYSTEM)


def office_time(today: date, days_ago: int, at: time = _OFFICE) -> datetime:
    """Return a time of a day before today, in TIME_ZONE."""
    return timezone.make_aware(datetime.combine(today - timedelta(days=days_ago), at))

"""Due times of follow-ups, from days."""

from datetime import date, datetime, time, timedelta

from django.utils import timezone

_END_OF_DAY = time(23, 59, 59)


def end_of_day(day: date | None) -> datetime | None:
    """Return the last second of a day of TIME_ZONE."""
    return timezone.make_aware(datetime.combine(day, _END_OF_DAY)) if day else None


def end_of_days(days: int | None, now: datetime) -> datetime | None:
    """Return the end of the day that is this number of days after now, None for none."""
    if days is None:
        return None
    return end_of_day(timezone.localtime(now).date() + timedelta(days=days))

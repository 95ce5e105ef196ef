"""Divide a period into hours, days, weeks, or months of TIME_ZONE.

Boundaries are moments, so that a day on which clocks change has 23 or 25 hours.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from django.utils import timezone

from .periods import Period, midnight

HOURS_UP_TO = 2
DAYS_UP_TO = 62
WEEKS_UP_TO = 190
"""Days of a period up to which its buckets are hours, days, and weeks."""


class Size(StrEnum):
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A part of a period, from ``start`` until before ``end``.

    ``is_partial``: the period or the present moment cuts it off.
    """

    start: datetime
    end: datetime
    size: Size
    is_partial: bool = False

    @property
    def label(self) -> str:
        """Return what an axis shows: “2 PM”, “Oct 21”, “Oct 2025”."""
        start = timezone.localtime(self.start)
        if self.size == Size.HOUR:
            return f"{start:%-I %p}"
        return f"{start:%b %Y}" if self.size == Size.MONTH else f"{start:%b %-d}"

    @property
    def title(self) -> str:
        """Return the bucket in full: “Tue, Oct 21, 2025, 2 PM”, “Oct 20–26, 2025”."""
        start = timezone.localtime(self.start)
        if self.size == Size.HOUR:
            return f"{start:%a, %b %-d, %Y, %-I %p}"
        if self.size == Size.DAY:
            return f"{start:%a, %b %-d, %Y}"
        last = self.last_day
        if (start.year, start.month) == (last.year, last.month):
            days = f"{start.day}" if start.day == last.day else f"{start.day}–{last.day}"
            return f"{start:%b} {days}, {start.year}"
        return f"{start:%b %-d, %Y} – {last:%b %-d, %Y}"

    @property
    def first_day(self) -> date:
        return timezone.localtime(self.start).date()

    @property
    def last_day(self) -> date:
        return timezone.localtime(self.end - timedelta(microseconds=1)).date()

    def params(self, field: str) -> dict[str, list[str]]:
        """Return the filter parameters of its time, over a field of times."""
        if self.size == Size.HOUR:
            return {f"{field}__gte": [_iso(self.start)], f"{field}__lt": [_iso(self.end)]}
        return {f"{field}__between": [f"{self.first_day},{self.last_day}"]}


def size_for(days: int) -> Size:
    """Return the size of the buckets of a period of this many days."""
    if days <= HOURS_UP_TO:
        return Size.HOUR
    if days <= DAYS_UP_TO:
        return Size.DAY
    return Size.WEEK if days <= WEEKS_UP_TO else Size.MONTH


def buckets_of(period: Period, *, now: datetime, size: Size | None = None) -> tuple[Bucket, ...]:
    """Return the buckets of a period, in order; none that begins after ``now``, but the first."""
    size = size or size_for(period.length)
    starts = list(_hours(period) if size == Size.HOUR else _midnights(period, size))
    found = []
    for n, start in enumerate(starts):
        end = starts[n + 1] if n + 1 < len(starts) else period.end
        if n and start > now:
            break
        found.append(
            Bucket(start, end, size, is_partial=_is_partial(period, size, start, end, now))
        )
    return tuple(found)


def _hours(period: Period) -> Iterator[datetime]:
    at = period.start.astimezone(UTC)
    while at < period.end:
        yield at
        at += timedelta(hours=1)


def _midnights(period: Period, size: Size) -> Iterator[datetime]:
    for day in period.each():
        if day == period.first or _begins(day, size):
            yield midnight(day)


def _begins(day: date, size: Size) -> bool:
    if size == Size.WEEK:
        return day.weekday() == 0
    return day.day == 1 if size == Size.MONTH else True


def _is_partial(period: Period, size: Size, start: datetime, end: datetime, now: datetime) -> bool:
    if start <= now < end:
        return True
    if size in {Size.HOUR, Size.DAY}:
        return False
    cut_at_start = start == period.start and not _begins(period.first, size)
    following = period.last + timedelta(days=1)
    return cut_at_start or (end == period.end and not _begins(following, size))


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

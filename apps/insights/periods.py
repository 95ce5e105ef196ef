"""Periods of whole days in TIME_ZONE, as pages of numbers are asked for them by their address."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.utils import timezone
from django.utils.dateparse import parse_date

from apps.core.errors import BadRequest, Example

DAYS = (7, 30, 90)
USUAL = 30
MOST = 366
"""The maximum number of days of a period: a chart can't show more."""


class BadPeriod(BadRequest):
    """The address names no period."""

    code = "bad_period"
    example = Example("“2025-13-01” is not a date such as 2025-01-31.")


@dataclass(frozen=True, slots=True)
class Period:
    """The days from ``first`` to ``last``, both included. ``days`` is 0 for one that was typed."""

    first: date
    last: date
    days: int = 0

    @property
    def length(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def start(self) -> datetime:
        return midnight(self.first)

    @property
    def end(self) -> datetime:
        """Return the first moment after it."""
        return midnight(self.last + timedelta(days=1))

    def before(self, now: datetime) -> tuple[datetime, datetime]:
        """Return the period before it, as long as the part of it that has passed."""
        passed = min(self.end, now) - self.start
        start = midnight(self.first - timedelta(days=self.length))
        return start, min(start + passed, self.start)

    @property
    def key(self) -> str:
        """Names it in the cache, whatever zone its days are of."""
        return f"{self.start.timestamp():.0f}-{self.end.timestamp():.0f}"

    @property
    def query(self) -> str:
        """As it is in the address."""
        return f"days={self.days}" if self.days else f"from={self.first}&to={self.last}"

    @property
    def between(self) -> str:
        """As a value of a filter of times."""
        return f"{self.first},{self.last}"

    @property
    def label(self) -> str:
        if self.days:
            return f"Last {self.days} days"
        return f"{_said(self.first)} – {_said(self.last)}"

    def each(self) -> list[date]:
        """Return its days, the first one first."""
        return [self.first + timedelta(days=n) for n in range(self.length)]


def read_period(params: Mapping[str, str], *, today: date) -> Period:
    """``days=7|30|90``, or ``from`` and ``to``; the last 30 days where nothing is named.

    Raises BadPeriod with the value that was rejected.
    """
    if params.get("from") or params.get("to"):
        return _typed(params.get("from", ""), params.get("to", ""), today)
    asked = params.get("days", str(USUAL))
    if asked not in {str(n) for n in DAYS}:
        raise BadPeriod(f"There is no period of “{asked}” days. Choose 7, 30 or 90, or type dates.")
    return last_days(int(asked), today)


def last_days(days: int, today: date) -> Period:
    """Return the days up to and with today."""
    return Period(today - timedelta(days=days - 1), today, days)


def _typed(first: str, last: str, today: date) -> Period:
    period = Period(_date(first), _date(last) if last else today)
    if period.length < 1:
        raise BadPeriod(f"A period cannot end on {last or today}, before it begins on {first}.")
    if period.length > MOST:
        raise BadPeriod(f"Choose at most {MOST} days.")
    return period


def _date(text: str) -> date:
    try:
        found = parse_date(text)
    except ValueError:
        found = None
    if found is None or not 2000 <= found.year <= 2200:
        raise BadPeriod(f"“{text}” is not a date such as 2025-01-31.")
    return found


def midnight(day: date) -> datetime:
    """Return the first moment of a day of TIME_ZONE."""
    return timezone.make_aware(datetime.combine(day, time.min))


def _said(day: date) -> str:
    return f"{day:%b %-d, %Y}"

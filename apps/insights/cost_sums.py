"""Sums of the ledger by day and by everything else that a page of costs shows.

The ledger is only added to, and nearly always today. The sums of a day that is over are therefore
stored in the cache, so that a page of 90 days sums one.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from apps.core import shortcut_cache
from apps.core.display import money
from apps.llm.models import Spending, Usage

from .periods import Period, midnight

KEPT_SECONDS = 3600
OVER_AFTER = timedelta(minutes=10)
"""How long after its end a day can still get costs of requests that ran at midnight."""


@dataclass(slots=True)
class Sums:
    """What some rows of the ledger add up to. ``unpriced`` rows are not in ``cost``."""

    rows: int = 0
    cost: Decimal = Decimal(0)
    unpriced: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0

    def add(self, other: "Sums") -> None:
        self.rows += other.rows
        self.cost += other.cost
        self.unpriced += other.unpriced
        self.input_tokens += other.input_tokens
        self.cached_tokens += other.cached_tokens
        self.output_tokens += other.output_tokens

    @property
    def said(self) -> str:
        """“$1.20”, “price unknown”, or “$1.20 + 3 unpriced requests”: never zero for unknown."""
        if not self.unpriced:
            return money(self.cost)
        if self.unpriced == self.rows:
            return money(None)
        return f"{money(self.cost)} + {self.unpriced:,} unpriced requests"

    @property
    def known(self) -> Decimal | None:
        """Return the cost as far as it is known; None where nothing of it is."""
        return None if self.rows and self.unpriced == self.rows else self.cost

    @property
    def each(self) -> Decimal | None:
        """Cost of one priced row; None where there is none."""
        priced = self.rows - self.unpriced
        return self.cost / priced if priced else None


@dataclass(frozen=True, slots=True)
class CostRow:
    """The sums of one day, agent, purpose, trigger, and model."""

    day: date
    agent: str
    purpose: str
    trigger: str
    model: str
    sums: Sums


def sums_of(period: Period, now: datetime) -> tuple[list[CostRow], Sums]:
    """Return the sums of a period, and those of the period before it, as far as it has got."""
    start, end = period.before(now)
    first, last = timezone.localtime(start).date(), timezone.localtime(end).date()
    rows = day_rows(Period(first, period.last).each(), now)
    before = [row.sums for row in rows if row.day < min(last, period.first)]
    if midnight(last) < end:
        rest = Usage.objects.between(midnight(last), end).order_by().aggregate(**_SUMS)
        before.append(_sums([rest[name] for name in _SUMS]))
    return [row for row in rows if row.day >= period.first], total_of(before)


def day_rows(days: Sequence[date], now: datetime) -> list[CostRow]:
    """Return the sums of consecutive days."""
    names = _names([day for day in days if midnight(day + timedelta(days=1)) + OVER_AFTER <= now])
    kept: Mapping[str, list[CostRow]] = shortcut_cache.find(names.values())
    found = {day: kept[name] for day, name in names.items() if name in kept}
    if missing := [day for day in days if day not in found]:
        made = _summed(missing)
        missed = {name: made[day] for day, name in names.items() if name not in kept}
        shortcut_cache.store(missed, KEPT_SECONDS)
        found |= made
    return [row for day in days for row in found[day]]


def total_of(sums: Iterable[Sums]) -> Sums:
    """Return the sum of some."""
    total = Sums()
    for one in sums:
        total.add(one)
    return total


_SUMS: dict[str, Any] = {
    "rows": Count("pk"),
    "total": Sum("cost"),
    "unpriced": Count("pk", filter=Q(cost=None)),
    "input": Sum("input_tokens"),
    "kept": Sum("cached_tokens"),
    "output": Sum("output_tokens"),
}


def _names(days: Sequence[date]) -> dict[date, str]:
    """Return the cache's name for each day, another one where something was added to it since.

    An import writes what conversations once cost, on the day that they did.
    """
    if not days:
        return {}
    spent = Spending.objects.filter(day__gte=days[0], day__lte=days[-1]).order_by()
    paid = {
        day: rest for day, *rest in spent.values_list("day").annotate(Sum("responses"), Sum("cost"))
    }
    return {
        day: f"insights:costs:{midnight(day).timestamp():.0f}:{paid.get(day, '')}".replace(" ", "")
        for day in days
    }


def _summed(days: Sequence[date]) -> Mapping[date, list[CostRow]]:
    """Sum the ledger in one statement, from the first of these days to the last."""
    by = ("day", "agent_id", "purpose", "trigger", "model_name")
    found = (
        Usage.objects.between(midnight(days[0]), midnight(days[-1] + timedelta(days=1)))
        .order_by()
        .annotate(day=TruncDate("at"))
        .values_list(*by)
        .annotate(**_SUMS)
    )
    rows: dict[date, list[CostRow]] = defaultdict(list)
    for row in found:
        rows[row[0]].append(CostRow(row[0], row[1], row[2], row[3], row[4], _sums(row[5:])))
    return {day: rows[day] for day in days}


def _sums(values: Sequence[Any]) -> Sums:
    rows, cost, unpriced, *tokens = values
    return Sums(rows, cost or Decimal(0), unpriced, *(n or 0 for n in tokens))

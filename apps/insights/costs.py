"""What requests cost, from the ledger alone: per agent, day, trigger and model.

The ledger has every request that was paid for, failed ones too, and outlives what it speaks of.
One statement sums a period by everything at once; the tables are put together from its few
thousand rows.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Q, Sum
from django.db.models.functions import TruncDate
from django.urls import reverse

from apps.agents.models import Agent, Channel
from apps.conversations.models import Trigger
from apps.core.display import money
from apps.llm.models import Purpose, Usage

from .cache import cached
from .periods import Period

FRESH_SECONDS = 60


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
class Link:
    """The way to the conversations behind a number."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class CostLine:
    """One row of a table."""

    label: str
    sums: Sums
    links: tuple[Link, ...] = ()
    day: date | None = None
    agent: Agent | None = None


@dataclass(frozen=True, slots=True)
class Costs:
    """A period in numbers; ``analyses`` is the part of ``total`` without test runs and the like."""

    period: Period
    total: Sums
    analyses: Sums
    before: Sums
    days: Sequence[CostLine]
    agents: Sequence[CostLine]
    triggers: Sequence[CostLine]
    models: Sequence[CostLine]

    @property
    def highest(self) -> Decimal:
        """Of the days: what bars are drawn against."""
        return max((line.sums.cost for line in self.days), default=Decimal(0))

    @property
    def change(self) -> str:
        """Return “12% more than the previous 30 days”; empty where a price is unknown.

        With an unknown price, an apparent decrease could be an increase.
        """
        span = "day" if self.period.length == 1 else f"{self.period.length} days"
        if self.total.unpriced or self.before.unpriced:
            return ""
        if not self.before.cost:
            return f"No costs in the previous {span}" if not self.before.rows else ""
        change = (self.total.cost - self.before.cost) / self.before.cost * 100
        if abs(change) < Decimal("0.5"):
            return f"About the same as the previous {span}"
        word = "more" if change > 0 else "less"
        return f"{abs(change):,.0f}% {word} than the previous {span}"


@dataclass(frozen=True, slots=True)
class _Row:
    day: date
    agent: str
    purpose: str
    trigger: str
    model: str
    sums: Sums


def costs_of(period: Period, *, now: datetime) -> Costs:
    """Everything that the page shows of a period, but for the conversations it was of."""
    rows = cached(f"costs:{period.key}", FRESH_SECONDS, lambda: _rows(period))
    start, end = period.before(now)
    before = cached(f"costs-before:{period.key}", FRESH_SECONDS, lambda: _whole(start, end))
    agents = {a.public_id: a for a in Agent.objects.filter(public_id__in={r.agent for r in rows})}
    channels = sorted({a.channel for a in agents.values()}, reverse=True)
    link = _Linker(period, channels)
    return Costs(
        period=period,
        total=_total(row.sums for row in rows),
        analyses=_total(row.sums for row in rows if row.purpose == Purpose.ANALYSIS),
        before=before,
        days=_days(rows, period, link),
        agents=_agents(rows, agents, link),
        triggers=_lines(rows, _why, lambda k: (_WHY[k], link.trigger(k))),
        models=_lines(rows, lambda r: r.model, lambda k: (k, link.to(analysis_model=k))),
    )


def conversations_of(period: Period) -> int:
    """Return how many conversations were analyzed, each counted once however often."""
    rows = Usage.objects.between(period.start, period.end).analyses()
    distinct = rows.order_by().values("conversation_id").distinct()
    return cached(f"costs-conversations:{period.key}", FRESH_SECONDS, distinct.count)


_SUMS: dict[str, Any] = {
    "rows": Count("pk"),
    "total": Sum("cost"),
    "unpriced": Count("pk", filter=Q(cost=None)),
    "input": Sum("input_tokens"),
    "kept": Sum("cached_tokens"),
    "output": Sum("output_tokens"),
}


def _rows(period: Period) -> list[_Row]:
    by = ("day", "agent_id", "purpose", "trigger", "model_name")
    found = (
        Usage.objects.between(period.start, period.end)
        .order_by()
        .annotate(day=TruncDate("at"))
        .values_list(*by)
        .annotate(**_SUMS)
    )
    return [_Row(row[0], row[1], row[2], row[3], row[4], _sums(row[5:])) for row in found]


def _whole(start: datetime, end: datetime) -> Sums:
    row = Usage.objects.between(start, end).order_by().aggregate(**_SUMS)
    return _sums([row[name] for name in _SUMS])


def _sums(values: Sequence[Any]) -> Sums:
    rows, cost, unpriced, *tokens = values
    return Sums(rows, cost or Decimal(0), unpriced, *(n or 0 for n in tokens))


def _total(sums: Iterable[Sums]) -> Sums:
    total = Sums()
    for one in sums:
        total.add(one)
    return total


_WHY: dict[str, str] = {
    Trigger.INITIAL: "First analysis",
    Trigger.RERUN: "Rerun",
    Trigger.BACKFILL: "Backfill",
    Trigger.IMPORTED: "Imported with its cost",
    Purpose.TRY_IT: "Test run",
    Purpose.ACCUMULATE: "Accumulate and summarize",
    "": "Other",
}


def _why(row: _Row) -> str:
    """Return what a request was made for: the trigger of an analysis, else its purpose."""
    why = row.trigger if row.purpose == Purpose.ANALYSIS else row.purpose
    return why if why in _WHY else ""


def _lines(
    rows: Iterable[_Row],
    key_of: Callable[[_Row], str],
    shown: Callable[[str], tuple[str, tuple[Link, ...]]],
) -> list[CostLine]:
    """Rows summed by a key, the dearest first."""
    sums: dict[str, Sums] = defaultdict(Sums)
    for row in rows:
        sums[key_of(row)].add(row.sums)
    lines = []
    for key, total in sums.items():
        label, links = shown(key)
        lines.append(CostLine(label, total, links))
    return sorted(lines, key=_dearest)


def _dearest(line: CostLine) -> tuple[Decimal, int, str]:
    return -line.sums.cost, -line.sums.rows, line.label


def _agents(rows: Iterable[_Row], agents: Mapping[str, Agent], link: "_Linker") -> list[CostLine]:
    sums: dict[str, Sums] = defaultdict(Sums)
    for row in rows:
        sums[row.agent].add(row.sums)
    lines = []
    for public_id, total in sums.items():
        agent = agents.get(public_id)
        label = agent.name if agent else public_id or "No agent"
        lines.append(CostLine(label, total, link.agent(agent) if agent else (), agent=agent))
    return sorted(lines, key=_dearest)


def _days(rows: Iterable[_Row], period: Period, link: "_Linker") -> list[CostLine]:
    """Return every day of the period, also those on which nothing was asked."""
    sums: dict[date, Sums] = defaultdict(Sums)
    for row in rows:
        sums[row.day].add(row.sums)
    return [CostLine(f"{day:%a, %b %-d}", sums[day], link.day(day), day) for day in period.each()]


@dataclass(frozen=True, slots=True)
class _Linker:
    """Ways to the history pages: one link for each kind of conversation that was paid for.

    They lead to the conversations whose present result was made in the period: the ledger has
    every request, a conversation only its latest result.
    """

    period: Period
    channels: Sequence[str]

    def agent(self, agent: Agent) -> tuple[Link, ...]:
        return (self._link(agent.channel, {"agent": agent.public_id}),)

    def trigger(self, trigger: str) -> tuple[Link, ...]:
        return self.to(analysis_trigger=trigger) if trigger in Trigger.values else ()

    def day(self, day: date) -> tuple[Link, ...]:
        return self.to(analyzed_at__between=f"{day},{day}")

    def to(self, **filters: str) -> tuple[Link, ...]:
        return tuple(self._link(channel, filters) for channel in self.channels)

    def _link(self, channel: str, filters: Mapping[str, str]) -> Link:
        page = "calls" if channel == Channel.VOICE else "chats"
        query = urlencode({"analyzed_at__between": self.period.between} | dict(filters))
        return Link(page.capitalize(), f"{reverse(f'conversations:{page}')}?{query}")

"""Costs of requests, from the ledger alone: per agent, day, trigger, and model.

The ledger has every request that was paid for, failed ones too, and outlives the conversations.
One statement sums days by everything at once; the tables are put together from its few thousand
rows. The sums of a day that is over are stored in the cache (`cost_sums`): only today's are summed
for each page.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from urllib.parse import urlencode

from django.urls import reverse

from apps.agents.models import Agent, Channel
from apps.conversations.models import Trigger
from apps.llm.models import Purpose, Usage

from .cache import cached
from .cost_sums import CostRow, Sums, sums_of, total_of
from .periods import Period

FRESH_SECONDS = 60


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


def costs_of(period: Period, *, now: datetime) -> Costs:
    """Everything that the page shows of a period, but for the conversations it was of."""
    rows, before = cached(f"costs:{period.key}", FRESH_SECONDS, lambda: sums_of(period, now))
    agents = {a.public_id: a for a in Agent.objects.filter(public_id__in={r.agent for r in rows})}
    channels = sorted({a.channel for a in agents.values()}, reverse=True)
    link = _Linker(period, channels)
    return Costs(
        period=period,
        total=total_of(row.sums for row in rows),
        analyses=total_of(row.sums for row in rows if row.purpose == Purpose.ANALYSIS),
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


_WHY: dict[str, str] = {
    Trigger.INITIAL: "First analysis",
    Trigger.RERUN: "Rerun",
    Trigger.BACKFILL: "Backfill",
    Trigger.IMPORTED: "Imported with its cost",
    Purpose.TRY_IT: "Test run",
    Purpose.ACCUMULATE: "Accumulate and summarize",
    "": "Other",
}


def _why(row: CostRow) -> str:
    """Return what a request was made for: the trigger of an analysis, else its purpose."""
    why = row.trigger if row.purpose == Purpose.ANALYSIS else row.purpose
    return why if why in _WHY else ""


def _lines(
    rows: Iterable[CostRow],
    key_of: Callable[[CostRow], str],
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


def _agents(
    rows: Iterable[CostRow], agents: Mapping[str, Agent], link: "_Linker"
) -> list[CostLine]:
    sums: dict[str, Sums] = defaultdict(Sums)
    for row in rows:
        sums[row.agent].add(row.sums)
    lines = []
    for public_id, total in sums.items():
        agent = agents.get(public_id)
        label = agent.name if agent else public_id or "No agent"
        lines.append(CostLine(label, total, link.agent(agent) if agent else (), agent=agent))
    return sorted(lines, key=_dearest)


def _days(rows: Iterable[CostRow], period: Period, link: "_Linker") -> list[CostLine]:
    """Return every day of the period, also those on which nothing was asked."""
    sums: dict[date, Sums] = defaultdict(Sums)
    for row in rows:
        sums[row.day].add(row.sums)
    return [CostLine(f"{day:%a, %b %-d}", sums[day], link.day(day), day) for day in period.each()]


@dataclass(frozen=True, slots=True)
class _Linker:
    """Ways to the history pages: one link for each kind of conversation that was paid for.

    They lead to the conversations whose current result was made in the period: the ledger has
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

"""Spending caps with everything that a person needs to judge them, and their changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import connection, transaction
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.agents.models import AgentVersion
from apps.llm import caps
from apps.llm.caps import Caps, CapState, Period
from apps.llm.models import LanguageModel
from apps.llm.reservations import Balance, reserved_by_agent, reserved_for

from .models import Analysis
from .reservations import reserve_in_flight

PACE_DAYS = 7
"""Full days before today whose average a projection goes by."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """The spending of one period, with its cap, None where it has none."""

    period: Period
    spent: Decimal
    reserved: Decimal
    resets_at: datetime
    cap: CapState | None = None

    @property
    def balance(self) -> Balance | None:
        """Return the balance of the cap; None without one."""
        return Balance(self.cap.limit, self.spent, self.reserved) if self.cap else None

    @property
    def left(self) -> Decimal | None:
        """Return the rest of the cap, at least 0; None without one."""
        return max(self.balance.left, Decimal(0)) if self.balance else None


@dataclass(frozen=True, slots=True)
class Projection:
    """What a month will cost at the pace of the last days. ``day`` is when its cap is reached."""

    cost: Decimal
    day: date | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """The spending and the caps of an agent, of the installation under an empty ID."""

    agent_id: str
    day: Gauge
    month: Gauge
    projection: Projection | None

    @property
    def gauges(self) -> tuple[Gauge, Gauge]:
        return self.day, self.month


def budgets(now: datetime | None = None) -> list[Budget]:
    """Return the budget of the installation, then those of the agents that have caps."""
    states = caps.cap_states(now)
    return _budgets(["", *sorted({state.agent_id for state in states} - {""})], states, now)


def budget_of(agent_id: str, now: datetime | None = None) -> Budget:
    """Return the budget of one agent, or of the installation under an empty ID."""
    return _budgets([agent_id], caps.cap_states(now), now)[0]


def _budgets(
    agents: Sequence[str], states: Sequence[CapState], now: datetime | None
) -> list[Budget]:
    reserved, days = reserved_by_agent(), _days(timezone.localdate(now))
    by_cap = {(state.agent_id, state.period): state for state in states}
    return [_budget(agent, by_cap, reserved, days, now) for agent in agents]


_DAYS = """
SELECT s.agent_id, s.day, sum(s.cost) FROM llm_spending s
WHERE s.day BETWEEN %s AND %s GROUP BY 1, 2
"""


def _days(today: date) -> dict[tuple[str, date], Decimal]:
    """Return the spending by agent and day, of the month and of the days before that count."""
    first = min(Period.MONTH.first(today), today - timedelta(days=PACE_DAYS))
    with connection.cursor() as cursor:
        cursor.execute(_DAYS, [first, today])
        return {(agent, day): cost for agent, day, cost in cursor.fetchall()}


def _budget(
    agent: str,
    by_cap: Mapping[tuple[str, Period], CapState],
    reserved: Mapping[str, Decimal],
    days: Mapping[tuple[str, date], Decimal],
    now: datetime | None,
) -> Budget:
    today = timezone.localdate(now)
    costs: dict[date, Decimal] = {}
    for (whose, day), cost in days.items():
        if not agent or whose == agent:
            costs[day] = costs.get(day, Decimal(0)) + cost
    held = reserved_for(agent, reserved)

    def gauge(period: Period) -> Gauge:
        spent = sum((c for d, c in costs.items() if d >= period.first(today)), Decimal(0))
        return Gauge(
            period, spent, held, caps.resets_at(period, today), by_cap.get((agent, period))
        )

    month = gauge(Period.MONTH)
    return Budget(agent, gauge(Period.DAY), month, _projection(month, costs, today))


def _projection(month: Gauge, costs: Mapping[date, Decimal], today: date) -> Projection | None:
    """Return what the month will cost if the rest of it costs as much as the last full days."""
    past = [costs.get(today - timedelta(days=n), Decimal(0)) for n in range(1, PACE_DAYS + 1)]
    pace = sum(past, Decimal(0)) / PACE_DAYS
    if not pace:
        return None
    left = (Period.MONTH.after(today) - today).days
    total = month.spent + pace * left
    if month.cap is None or not month.spent < month.cap.limit <= total:
        return Projection(total)
    return Projection(total, today + timedelta(days=int((month.cap.limit - month.spent) / pace)))


def change(
    agent_id: str, wanted: Caps, *, by: Actor, site_url: str = "", seen: Caps | None = None
) -> None:
    """Set the caps of an agent, or of the installation. Raises PriceUnknown and CapsChanged."""
    if wanted != Caps():
        caps.check_priced(_models_in_use(agent_id), limit="spending cap")
    with transaction.atomic():
        caps.change_caps(agent_id, wanted, by=by, site_url=site_url, seen=seen)
        reserve_in_flight(Analysis.objects.all())


def replace(wanted: Mapping[str, Caps], *, by: Actor, site_url: str = "") -> None:
    """Replace the caps of everything. Raises PriceUnknown."""
    if any(one != Caps() for one in wanted.values()):
        caps.check_priced(_models_in_use(), limit="spending cap")
    with transaction.atomic():
        caps.set_caps(wanted, by=by, site_url=site_url)
        reserve_in_flight(Analysis.objects.all())


def _models_in_use(agent_id: str = "") -> list[LanguageModel]:
    """Return the models of the drafts and published versions of active agents, or of one."""
    versions = AgentVersion.objects.filter(agent__deactivated_at=None, config__isnull=False)
    if agent_id:
        versions = versions.filter(agent__public_id=agent_id)
    return list(LanguageModel.objects.filter(pk__in=versions.values("config__model")))

"""Caps on spending per day and month, for the installation and for single agents.

Days and months are those of TIME_ZONE. Spending comes from the sums of the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum

from django.db import connection, transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.core.display import money
from apps.core.errors import Conflict, Example
from apps.llm.models import SpendingCap


class BudgetReached(Conflict):
    """Raised where a budget or a cap allows no further paid work."""

    code = "budget_reached"
    example = Example(
        "The daily cap of $50.00 is reached. It resets on Jan 19 at 00:00, or an admin can "
        "raise it."
    )


class Period(Enum):
    """How long a cap counts."""

    DAY = "day"
    MONTH = "month"

    def first(self, today: date) -> date:
        """Return the first day of the period of a day."""
        return today if self is Period.DAY else today.replace(day=1)

    def after(self, today: date) -> date:
        """Return the first day of the next period."""
        if self is Period.DAY:
            return today + timedelta(days=1)
        return (today.replace(day=1) + timedelta(days=32)).replace(day=1)


@dataclass(frozen=True, slots=True)
class CapState:
    """One cap, with the spending of its period and the beginning of the next one.

    ``agent_id`` is the public ID of the agent, empty for the installation.
    """

    agent_id: str
    period: Period
    limit: Decimal
    spent: Decimal
    first_day: date
    resets_at: datetime

    @property
    def is_reached(self) -> bool:
        return self.spent >= self.limit

    @property
    def name(self) -> str:
        """Return for example *daily cap*."""
        return "daily cap" if self.period is Period.DAY else "monthly cap"

    @property
    def sentence(self) -> str:
        """Return that it is reached, and what helps."""
        whose = " of this agent" if self.agent_id else ""
        resets = f"{timezone.localtime(self.resets_at):%b %-d at %H:%M}"
        return (
            f"The {self.name}{whose} of {money(self.limit)} is reached. It resets on {resets}, or "
            "an admin can raise it."
        )


_SUMS = """
SELECT s.agent_id, coalesce(sum(s.cost) FILTER (WHERE s.day = %(day)s), 0), sum(s.cost)
FROM llm_spending s WHERE s.day BETWEEN %(month)s AND %(day)s GROUP BY 1
"""


def cap_states(now: datetime | None = None) -> list[CapState]:
    """Return the state of each cap. Without caps, this is one query of an empty table."""
    caps = list(SpendingCap.objects.order_by("agent_id"))
    if not caps:
        return []
    today = timezone.localdate(now)
    with connection.cursor() as cursor:
        cursor.execute(_SUMS, {"day": today, "month": Period.MONTH.first(today)})
        sums = {agent: (day, month) for agent, day, month in cursor.fetchall()}
    everything = [sum((s[i] for s in sums.values()), Decimal(0)) for i in (0, 1)]
    nothing = (Decimal(0), Decimal(0))
    states = []
    for cap in caps:
        spent = sums.get(cap.agent_id, nothing) if cap.agent_id else everything
        for i, (period, limit) in enumerate(((Period.DAY, cap.day), (Period.MONTH, cap.month))):
            if limit is not None:
                states.append(_state(cap.agent_id, period, limit, spent[i], today))
    return states


def _state(agent: str, period: Period, limit: Decimal, spent: Decimal, today: date) -> CapState:
    after = datetime.combine(period.after(today), time())
    resets_at = timezone.make_aware(after)
    return CapState(agent, period, limit, spent, period.first(today), resets_at)


def lock_caps() -> None:
    """Make other workers wait to set money aside until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('llm.caps'))")


@dataclass(frozen=True, slots=True)
class Caps:
    """The caps in US dollars of the installation, or of one agent. None: no limit."""

    day: Decimal | None = None
    month: Decimal | None = None

    def as_dict(self) -> dict[str, str]:
        """Return the limits that are set, as text."""
        named = {"day": self.day, "month": self.month}
        return {name: f"{limit:f}" for name, limit in named.items() if limit is not None}


def current_caps() -> dict[str, Caps]:
    """Return the caps by the agent's public ID; those of the installation under an empty one."""
    return {cap.agent_id: Caps(cap.day, cap.month) for cap in SpendingCap.objects.all()}


def set_caps(caps: Mapping[str, Caps], *, by: Actor) -> None:
    """Replace all caps. The audit log keeps the ones before and after."""
    with transaction.atomic():
        lock_caps()
        before = {agent: old.as_dict() for agent, old in current_caps().items()}
        wanted = {agent: new for agent, new in caps.items() if new != Caps()}
        SpendingCap.objects.exclude(agent_id__in=wanted).delete()
        for agent, new in wanted.items():
            SpendingCap.objects.update_or_create(
                agent_id=agent, defaults={"day": new.day, "month": new.month}
            )
        after = {agent: new.as_dict() for agent, new in wanted.items()}
        if before != after:
            audit.record(by=by, verb="caps.changed", detail={"from": before, "to": after})

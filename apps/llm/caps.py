"""Caps on spending per day and month, for the installation and for single agents.

Days and months are those of TIME_ZONE. Spending comes from the sums of the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum

from django.db import connection, transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.core.display import money
from apps.core.errors import Conflict, Example, UserError
from apps.llm.models import LanguageModel, SpendingCap

WARNING = 80
"""The share of a cap in percent from which it is announced."""


class BudgetReached(Conflict):
    """Raised where a budget or a cap allows no further paid work."""

    code = "budget_reached"
    example = Example(
        "The daily cap of $50.00 is reached. It resets on Jan 19 at 00:00, or an admin can "
        "raise it."
    )


class PriceUnknown(UserError):
    """Raised for a budget or a cap where models have no price. ``models`` are those."""

    code = "price_unknown"
    example = Example(
        "A budget needs the price of each model. Set the prices of gpt-5-pro under Models.",
        {"budget": "Set the prices of gpt-5-pro under Models."},
    )
    models: Sequence[LanguageModel] = ()


def unpriced_of(error: UserError) -> Sequence[LanguageModel]:
    """Return the models that an error names for their unknown prices; none for other errors."""
    return error.models if isinstance(error, PriceUnknown) else ()


class CapsChanged(Conflict):
    """Raised where another person changed the caps in the meantime."""

    code = "caps_changed"
    example = Example("The caps were changed in the meantime. Check them, then try again.")


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
    def level(self) -> int:
        """Return the share in percent that is announced: 100 where reached, `WARNING`, or 0."""
        if self.is_reached:
            return 100
        return WARNING if self.spent * 100 >= self.limit * WARNING else 0

    @property
    def is_current(self) -> bool:
        """Return whether its period has not ended. A state that was stored may be of a past one."""
        return timezone.now() < self.resets_at

    @property
    def name(self) -> str:
        """Return for example *daily cap*."""
        return "daily cap" if self.period is Period.DAY else "monthly cap"

    @property
    def sentence(self) -> str:
        """Return that it is reached, and what helps."""
        whose = " of this agent" if self.agent_id else ""
        return (
            f"The {self.name}{whose} of {money(self.limit)} is reached. It resets on "
            f"{self.resets}, or an admin can raise it."
        )

    @property
    def resets(self) -> str:
        """Return when the next period begins, for example *Jan 19 at 00:00*."""
        return f"{timezone.localtime(self.resets_at):%b %-d at %H:%M}"


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


def why_reached(agents: Iterable[str], now: datetime | None = None) -> str:
    """Return why a cap holds back work for agents, by public ID; empty where none does."""
    capped = {"", *agents}
    reached = (cap for cap in cap_states(now) if cap.is_reached and cap.agent_id in capped)
    return next((cap.sentence for cap in reached), "")


def resets_at(period: Period, today: date) -> datetime:
    """Return when the period of a day ends, in TIME_ZONE."""
    return timezone.make_aware(datetime.combine(period.after(today), time()))


def _state(agent: str, period: Period, limit: Decimal, spent: Decimal, today: date) -> CapState:
    return CapState(agent, period, limit, spent, period.first(today), resets_at(period, today))


def any_cap(agents: Iterable[str]) -> bool:
    """Return whether a cap limits work for agents, by public ID."""
    return SpendingCap.objects.filter(agent_id__in={"", *agents}).exists()


def check_priced(models: Iterable[LanguageModel], *, limit: str = "budget") -> None:
    """Raise PriceUnknown with the names of the models that have no price, and what needs it."""
    unpriced = sorted((m for m in models if not m.price_known), key=lambda model: model.name)
    if unpriced:
        way_out = f"Set the prices of {', '.join(m.name for m in unpriced)} under Models."
        message = f"A {limit} needs the price of each model. {way_out}"
        error = PriceUnknown(message, {"budget": way_out})
        error.models = unpriced
        raise error


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


def set_caps(caps: Mapping[str, Caps], *, by: Actor, site_url: str = "") -> None:
    """Replace all caps. The audit log keeps the ones before and after.

    ``site_url`` is the address of Debrief that messages about them link to; an empty one keeps the
    last.
    """
    with transaction.atomic():
        lock_caps()
        _replace(caps, by=by, site_url=site_url)


def change_caps(
    agent_id: str, caps: Caps, *, by: Actor, site_url: str = "", seen: Caps | None = None
) -> None:
    """Set the caps of one agent, or of the installation under an empty ID.

    ``seen`` are the caps that the person saw, None where that doesn't matter. Raises CapsChanged
    where they are other ones by now.
    """
    with transaction.atomic():
        lock_caps()
        now = current_caps()
        if seen is not None and now.get(agent_id, Caps()) != seen:
            raise CapsChanged(CapsChanged.example.message)
        _replace({**now, agent_id: caps}, by=by, site_url=site_url)


def _replace(caps: Mapping[str, Caps], *, by: Actor, site_url: str) -> None:
    before = {agent: old.as_dict() for agent, old in current_caps().items()}
    wanted = {agent: new for agent, new in caps.items() if new != Caps()}
    SpendingCap.objects.exclude(agent_id__in=wanted).delete()
    for agent, new in wanted.items():
        limits: dict[str, object] = {"day": new.day, "month": new.month}
        if site_url:
            limits["site_url"] = site_url[:300]
        SpendingCap.objects.update_or_create(agent_id=agent, defaults=limits)
    after = {agent: new.as_dict() for agent, new in wanted.items()}
    if before != after:
        audit.record(by=by, verb="caps.changed", detail={"from": before, "to": after})

"""Spending caps: limits, spending, and resets."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Self

from apps.analysis.spending_caps import Budget, Gauge
from apps.core.schemas import Body, Dollars, Json, Money, Schema, Time, eg
from apps.llm.caps import Caps

from . import examples


class CapsIn(Body):
    """The caps of one agent. Null: no limit."""

    day: Annotated[str | None, Dollars()] = None
    month: Annotated[str | None, Dollars()] = None

    def caps(self) -> Caps:
        """Return the limits as numbers."""
        return Caps(
            None if self.day is None else Decimal(self.day),
            None if self.month is None else Decimal(self.month),
        )


class BudgetsIn(CapsIn):
    """All caps, in US dollars as text. They replace the current ones."""

    example = {"day": "50.00", "month": "1000.00", "agents": {examples.AGENT_ID: {"day": "5.00"}}}

    agents: dict[str, CapsIn] = {}
    """By the agent's ID."""


class CapSchema(Schema):
    """One cap."""

    limit: Annotated[Money, eg("50.00")]
    spent: Annotated[Money, eg("12.400000000")]
    reserved: Annotated[Money, eg("0.300000000")]
    """For requests in progress."""
    left: Annotated[Money, eg("37.300000000")]
    reached: bool
    resets_at: Annotated[Time, eg("2025-01-19T00:00:00Z")]


_AGENT: Json = {
    "day": {
        "limit": "5.00",
        "spent": "1.200000000",
        "reserved": "0.000000000",
        "left": "3.800000000",
        "reached": False,
        "resets_at": "2025-01-19T00:00:00Z",
    },
    "month": None,
}


class AgentCaps(Schema):
    """The caps of one agent. Null: no limit."""

    day: CapSchema | None
    month: CapSchema | None


class Budgets(AgentCaps):
    """The caps of the installation and of single agents."""

    agents: Annotated[dict[str, AgentCaps], eg({examples.AGENT_ID: _AGENT})]
    """By the agent's ID; agents without caps are left out."""

    @classmethod
    def from_budgets(cls, budgets: Sequence[Budget]) -> Self:
        """Return all caps with their states. The first budget is that of the installation."""
        installation, *agents = budgets
        shown = {one.agent_id: AgentCaps(**_caps(one)) for one in agents}
        return cls(**_caps(installation), agents=shown)


def _caps(budget: Budget) -> dict[str, CapSchema | None]:
    return {gauge.period.value: _cap(gauge) for gauge in budget.gauges}


def _cap(gauge: Gauge) -> CapSchema | None:
    if gauge.cap is None:
        return None
    return CapSchema(
        limit=f"{gauge.cap.limit:f}",
        spent=f"{gauge.spent:f}",
        reserved=f"{gauge.reserved:f}",
        left=f"{gauge.left:f}",
        reached=gauge.cap.is_reached,
        resets_at=gauge.resets_at,
    )

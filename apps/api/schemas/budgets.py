"""Spending caps: limits, spending, and resets."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Self

from apps.core.schemas import Body, Dollars, Json, Money, Schema, Time, eg
from apps.llm.caps import Caps, CapState

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
    reached: bool
    resets_at: Annotated[Time, eg("2025-01-19T00:00:00Z")]


_AGENT: Json = {
    "day": {
        "limit": "5.00",
        "spent": "1.200000000",
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
    def from_states(cls, states: Sequence[CapState]) -> Self:
        """Return all caps with their states."""
        shown: dict[str, dict[str, CapSchema | None]] = {"": {"day": None, "month": None}}
        for one in states:
            mine = shown.setdefault(one.agent_id, {"day": None, "month": None})
            mine[one.period.value] = CapSchema(
                limit=f"{one.limit:f}",
                spent=f"{one.spent:f}",
                reached=one.is_reached,
                resets_at=one.resets_at,
            )
        installation = shown.pop("")
        agents = {agent: AgentCaps(**caps) for agent, caps in shown.items()}
        return cls(**installation, agents=agents)

"""Estimate the savings of sampling and minimum lengths, and the calls that they would miss.

The basis is the first analyses of the last 30 days in the ledger: the conversations that a rule
would have left out, their cost, and how many of them turned out unsuccessful.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from apps.agents.models import Agent
from apps.core.display import money
from apps.core.sampling import position_sql, sample_end

from .cache import cached
from .periods import USUAL

FRESH_SECONDS = 60
SHARES = (50, 25, 10)
SECONDS = (10, 20, 30)
MESSAGES = (2, 4, 6)

_FIRST = f"""
SELECT f.cost, f.unpriced, c.duration_ms, c.message_count, c.successful,
  {position_sql("c.public_id")} AS position
FROM (
  SELECT conversation_id, sum(cost) AS cost, bool_or(cost IS NULL) AS unpriced FROM llm_usage
  WHERE at >= %s AND purpose = 'analysis' AND trigger = 'initial' AND agent_id = %s
  GROUP BY conversation_id
) AS f JOIN conversations_conversation c ON c.public_id = f.conversation_id
"""  # noqa: S608 (the position of a column)


@dataclass(frozen=True, slots=True)
class Rule:
    """One setting of the Post analysis tab. ``name`` is what the agent's draft calls it."""

    name: str
    value: int
    label: str
    left_out: str


@dataclass(frozen=True, slots=True)
class Saving:
    """What a rule would have done. ``unpriced`` of the conversations have no known cost."""

    rule: Rule | None
    conversations: int
    cost: Decimal
    unpriced: int
    unsuccessful: int

    @property
    def said(self) -> str:
        """Return its cost in words, never zero for an unknown cost."""
        if not self.unpriced:
            return money(self.cost)
        if self.unpriced == self.conversations:
            return money(None)
        return f"{money(self.cost)} + {self.unpriced:,} unpriced requests"


@dataclass(frozen=True, slots=True)
class Savings:
    """All rules, next to what there was."""

    agent: Agent
    total: Saving
    rules: Sequence[Saving]


def rules_for(word: str) -> list[Rule]:
    """Return the rules that are tried; ``word`` is calls or chats."""
    return [
        *(
            Rule("sample_percent", n, f"Sample {n}% of {word}", f"position >= {sample_end(n)}")
            for n in SHARES
        ),
        *(
            Rule("min_seconds", n, f"Skip under {n} seconds", f"duration_ms < {n * 1000}")
            for n in SECONDS
        ),
        *(
            Rule("min_messages", n, f"Skip under {n} messages", f"message_count < {n}")
            for n in MESSAGES
        ),
    ]


def savings_of(agent: Agent, *, now: datetime) -> Savings:
    """What each rule would have left out of the agent's first analyses of the last 30 days."""
    rules = rules_for(agent.sessions_word)
    row = cached(f"savings:{agent.public_id}", FRESH_SECONDS, lambda: _row(agent, rules, now))
    figures = [Saving(rule, *row[n]) for n, rule in enumerate([None, *rules])]
    return Savings(agent, figures[0], figures[1:])


def _row(agent: Agent, rules: Sequence[Rule], now: datetime) -> list[tuple[Any, ...]]:
    """Four numbers for everything, then for each rule, in one pass over the rows."""
    conditions = ["true", *(rule.left_out for rule in rules)]
    columns = ", ".join(
        f"count(*) FILTER (WHERE {c}), coalesce(sum(cost) FILTER (WHERE {c}), 0),"
        f" count(*) FILTER (WHERE unpriced AND {c}),"
        f" count(*) FILTER (WHERE NOT successful AND {c})"
        for c in conditions
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {columns} FROM ({_FIRST}) AS first",  # noqa: S608 (numbers of this module)
            [now - timedelta(days=USUAL), agent.public_id],
        )
        row = cursor.fetchone()
    return [tuple(row[n : n + 4]) for n in range(0, len(row), 4)]

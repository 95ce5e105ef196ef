"""Set money aside for requests before they are sent, so that no limit is passed by much.

Leased work of each kind holds what its request may cost at most, in the column ``reserved`` of its
row, until its cost is in the ledger, or until it is handed back. As long as something of a limit is
neither spent nor set aside, one more request may be sent: a limit is passed by one response at
most, however many are in flight. The reservation of a worker that was killed moves to the next
worker with the row. The view `llm_reserved` has those of all tables.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection

from apps.llm import caps
from apps.llm.caps import CapState
from apps.llm.pricing import SPREAD, charged_prices, cost
from apps.llm.specs import ModelSpec, TokenUsage
from apps.work.queue import LeasedTable


@dataclass(frozen=True, slots=True)
class Balance:
    """A limit in US dollars, with the amounts spent and set aside for requests."""

    limit: Decimal
    spent: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)

    @property
    def left(self) -> Decimal:
        """Return the rest, neither spent nor set aside; negative where the limit was passed."""
        return self.limit - self.spent - self.reserved

    @property
    def is_spent(self) -> bool:
        """Return whether the limit is reached without counting money that is only set aside."""
        return self.spent >= self.limit

    def covers(self, costs: Sequence[Decimal | None]) -> int:
        """Return how many of these requests may be sent, from the first one on.

        One may be sent as long as anything is left. None is sent whose price is unknown.
        """
        left = self.left
        for count, highest in enumerate(costs):
            if left <= 0 or highest is None:
                return count
            left -= highest
        return len(costs)


_OF_RUNS = """
SELECT r.id,
  (SELECT coalesce(sum(s.cost), 0) FROM llm_spending s WHERE s.run_id = r.id AND s.run_id <> ''),
  (SELECT coalesce(sum(h.amount), 0) FROM llm_reserved h WHERE h.run_id = r.id)
FROM unnest(%s::text[]) AS r(id)
"""


def balances_of_runs(limits: Mapping[str, Decimal]) -> dict[str, Balance]:
    """Return the balance of each run's budget, as of one moment, by the run's public ID."""
    if not limits:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_OF_RUNS, [list(limits)])
        return {run: Balance(limits[run], *sums) for run, *sums in cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class CapBalance:
    """A cap with its balance."""

    cap: CapState
    balance: Balance


def cap_balances(now: datetime | None = None) -> list[CapBalance]:
    """Return the balance of each cap, under a lock that lasts until the transaction ends.

    Without caps, this is one query of an empty table.
    """
    if not caps.cap_states(now):
        return []
    caps.lock_caps()
    reserved = reserved_by_agent()
    return [
        CapBalance(cap, Balance(cap.limit, cap.spent, reserved_for(cap.agent_id, reserved)))
        for cap in caps.cap_states(now)
    ]


def reserved_by_agent() -> dict[str, Decimal]:
    """Return the money that is set aside for requests in progress, by the agent's public ID."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT agent_id, sum(amount) FROM llm_reserved GROUP BY 1")
        return dict(cursor.fetchall())


def reserved_for(agent_id: str, reserved: Mapping[str, Decimal]) -> Decimal:
    """Return the amount reserved for one agent, or for everything under an empty ID."""
    return reserved.get(agent_id, Decimal(0)) if agent_id else sum(reserved.values(), Decimal(0))


def allowed(
    balances: Sequence[CapBalance], requests: Sequence[tuple[str, Decimal | None]]
) -> list[bool]:
    """Return of each request whether all caps that apply to it have something left, in order.

    A request is an agent's public ID and the highest cost, None where the price is unknown: a cap
    can't be held without it. What costs nothing is always allowed.
    """
    left = [one.balance.left for one in balances]
    answers = []
    for agent, highest in requests:
        mine = [i for i, one in enumerate(balances) if one.cap.agent_id in {"", agent}]
        fits = not mine or highest == 0 or (highest is not None and min(left[i] for i in mine) > 0)
        answers.append(fits)
        for i in mine if fits else ():
            left[i] -= highest or Decimal(0)
    return answers


def why_blocked(balances: Sequence[CapBalance], agent: str) -> str:
    """Return why paid work for an agent has to wait; empty where it can start."""
    mine = [one for one in balances if one.cap.agent_id in {"", agent}]
    worst = min(mine, key=lambda one: one.balance.left, default=None)
    if worst is None or worst.balance.left > 0:
        return ""
    return worst.cap.sentence


_HELD = "SELECT r.id FROM {table} r WHERE r.id = ANY(%s) AND r.reserved IS NOT NULL"
_RESERVE = """
UPDATE {table} r SET reserved = v.cost
FROM unnest(%s::bigint[], %s::numeric[]) AS v(id, cost) WHERE r.id = v.id
"""


def reserve(table: LeasedTable, costs: Mapping[int, Decimal | None]) -> None:
    """Set money aside on rows of a table, by their keys."""
    if not costs:
        return
    with connection.cursor() as cursor:
        cursor.execute(_RESERVE.format(table=table.name), [list(costs), list(costs.values())])


def hold(
    table: LeasedTable,
    requests: Mapping[int, tuple[str, Decimal | None]],
    balances: Sequence[CapBalance],
) -> list[int]:
    """Set money aside for the requests of rows that the current transaction leased.

    ``requests`` are those of `allowed`, by key. Return the keys of the rows that may be sent: the
    caps cover them, or a worker that was killed had set money aside already. Others are handed
    back.
    """
    with connection.cursor() as cursor:
        cursor.execute(_HELD.format(table=table.name), [list(requests)])
        held = {key for (key,) in cursor.fetchall()}
    fresh = {key: request for key, request in requests.items() if key not in held}
    fits = dict(zip(fresh, allowed(balances, list(fresh.values())), strict=True))
    reserve(table, {key: fresh[key][1] for key, fit in fits.items() if fit})
    table.put_back([key for key, fit in fits.items() if not fit])
    return [key for key in requests if fits.get(key, True)]


def highest_cost(
    spec: ModelSpec, tokens: int | None, output: int, *, trigger: str, tier: str = ""
) -> Decimal | None:
    """Return what a request costs at most in US dollars; None where the price is unknown.

    ``tokens`` is its estimated input, None for a full context. ``output`` is the cap of its
    response in tokens.
    """
    read = spec.context_tokens
    if tokens is not None:
        read = min(read, math.ceil(tokens * spec.token_correction * float(1 + SPREAD)))
    return cost(TokenUsage(read, 0, output), charged_prices(spec, trigger=trigger, tier=tier))

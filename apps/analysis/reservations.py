"""Set money aside for requests before they are sent, so that no limit is passed by much.

A claimed analysis holds what its request may cost at most (``reserved``) until its cost is in the
ledger, or until it is handed back. As long as something of a limit is neither spent nor set aside,
one more request may be sent: a limit is passed by one response at most, however many are in
flight. A reservation is part of the leased row: it ends with the row's work, and moves to the
next worker with the row.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db import connection

from apps.llm.pricing import charged_prices, cost
from apps.llm.specs import TokenUsage

from .claims import LoadedConfig
from .estimates import SPREAD, constant_tokens
from .model_call import output_cap
from .prompts import FRAME_TOKENS


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
  (SELECT coalesce(sum(a.reserved), 0) FROM analysis_analysis a
    WHERE a.backfill_public_id = r.id AND a.reserved IS NOT NULL)
FROM unnest(%s::text[]) AS r(id)
"""


def balances_of_runs(limits: Mapping[str, Decimal]) -> dict[str, Balance]:
    """Return the balance of each run's budget, as of one moment, by the run's public ID."""
    if not limits:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_OF_RUNS, [list(limits)])
        return {run: Balance(limits[run], *sums) for run, *sums in cursor.fetchall()}


class HighestCost:
    """What a request of one config costs at most, by the tokens of its transcript."""

    def __init__(self, config: LoadedConfig, *, trigger: str) -> None:
        spec = config.spec
        self._fixed = constant_tokens(config.sha256, config.document) + FRAME_TOKENS
        self._factor = spec.token_correction * float(1 + SPREAD)
        self._context = spec.context_tokens
        self._output = output_cap(config.document, spec)
        self._prices = charged_prices(spec, trigger=trigger)

    def of(self, transcript_tokens: int | None) -> Decimal | None:
        """Return the cost in US dollars; None where the price is unknown.

        An unknown transcript counts as a full context.
        """
        read = self._context
        if transcript_tokens is not None:
            read = min(read, math.ceil((transcript_tokens + self._fixed) * self._factor))
        return cost(TokenUsage(read, 0, self._output), self._prices)

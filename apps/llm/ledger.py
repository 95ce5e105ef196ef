"""Write the ledger, and the sums of it that budgets and caps are checked against."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone

from apps.core.database import insert_new
from apps.llm.models import Spending, Usage
from apps.llm.pricing import REDUCED

# Sorted, so that two writers lock the rows in the same order.
_ADD = """
INSERT INTO llm_spending AS s (day, agent_id, run_id, tier, responses, cost)
SELECT v.day, v.agent, v.run, v.tier, v.responses, v.cost
FROM unnest(%s::date[], %s::text[], %s::text[], %s::text[], %s::int[], %s::numeric[])
  AS v(day, agent, run, tier, responses, cost)
ORDER BY 1, 2, 3, 4
ON CONFLICT (day, agent_id, run_id, tier) DO UPDATE
SET cost = s.cost + excluded.cost, responses = s.responses + excluded.responses
"""


def write(rows: Iterable[Usage]) -> None:
    """Store rows of the ledger, in two statements however many there are.

    Call it as the last write of a transaction: it locks the sums of a day, which other workers add
    to as well, until the transaction ends. A row without a price adds nothing to the sums.
    """
    usage = list(rows)
    if not usage:
        return
    sums: dict[tuple[object, str, str, str], list[Decimal]] = {}
    for row in usage:
        if row.cost:
            day = timezone.localtime(row.at).date()
            tier = row.tier if row.tier in REDUCED else ""
            sums.setdefault((day, row.agent_id, row.backfill_id, tier), []).append(row.cost)
    with transaction.atomic(savepoint=False):
        insert_new(usage, returning="id")
        if sums:
            keys = [list(column) for column in zip(*sums, strict=True)]
            costs = sums.values()
            columns = [*keys, [len(paid) for paid in costs], [sum(paid) for paid in costs]]
            with connection.cursor() as cursor:
                cursor.execute(_ADD, columns)


def tiers_of_run(run_id: str) -> dict[str, int]:
    """Return how many paid responses a run got at each service tier; empty for the standard one."""
    rows = Spending.objects.filter(run_id=run_id).order_by("tier").values_list("tier")
    return dict(rows.annotate(Sum("responses")))

"""Write the ledger, and the sums of it that budgets and caps are checked against."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from django.db import connection, transaction
from django.utils import timezone

from apps.llm.models import Usage

# Sorted, so that two writers lock the rows in the same order.
_ADD = """
INSERT INTO llm_spending AS s (day, agent_id, run_id, cost)
SELECT v.day, v.agent, v.run, v.cost
FROM unnest(%s::date[], %s::text[], %s::text[], %s::numeric[]) AS v(day, agent, run, cost)
ORDER BY 1, 2, 3
ON CONFLICT (day, agent_id, run_id) DO UPDATE SET cost = s.cost + excluded.cost
"""


def write(rows: Iterable[Usage]) -> None:
    """Store rows of the ledger, in two statements however many there are.

    Call it as the last write of a transaction: it locks the sums of a day, which other workers add
    to as well, until the transaction ends. A row without a price adds nothing to the sums.
    """
    usage = list(rows)
    if not usage:
        return
    sums: dict[tuple[object, str, str], Decimal] = {}
    for row in usage:
        if row.cost:
            key = timezone.localtime(row.at).date(), row.agent_id, row.backfill_id
            sums[key] = sums.get(key, Decimal(0)) + row.cost
    with transaction.atomic(savepoint=False):
        Usage.objects.bulk_create(usage)
        if sums:
            days, agents, runs = zip(*sums, strict=True)
            columns = [list(days), list(agents), list(runs), list(sums.values())]
            with connection.cursor() as cursor:
                cursor.execute(_ADD, columns)

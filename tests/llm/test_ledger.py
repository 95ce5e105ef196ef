"""The ledger and its sums by day, agent, and run."""

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.db.models import Sum
from django.test import override_settings

from apps.llm import ledger
from apps.llm.models import Purpose, Spending, Usage

pytestmark = [pytest.mark.django_db]

AT = datetime(2025, 3, 30, 23, 30, tzinfo=UTC)


def row(cost: str | None, *, at: datetime = AT, agent: str = "agt_a", run: str = "") -> Usage:
    return Usage(
        at=at,
        purpose=Purpose.ANALYSIS,
        model_name="m",
        agent_id=agent,
        backfill_id=run,
        cost=None if cost is None else Decimal(cost),
    )


def sums() -> dict[tuple[str, str, str], Decimal]:
    return {(str(s.day), s.agent_id, s.run_id): s.cost for s in Spending.objects.all()}


def test_rows_are_summed_by_day_agent_and_run() -> None:
    ledger.write([row("0.10"), row("0.20"), row("1", run="bf_1"), row("2", agent="agt_b")])
    ledger.write([row("0.05"), row("3", at=AT + timedelta(hours=1))])

    assert Usage.objects.count() == 6
    assert sums() == {
        ("2025-03-30", "agt_a", ""): Decimal("0.35"),
        ("2025-03-30", "agt_a", "bf_1"): Decimal(1),
        ("2025-03-30", "agt_b", ""): Decimal(2),
        ("2025-03-31", "agt_a", ""): Decimal(3),
    }


def test_a_row_without_a_price_adds_nothing() -> None:
    ledger.write([row(None), row("0")])

    assert (Usage.objects.count(), Spending.objects.count()) == (2, 0)


@override_settings(TIME_ZONE="Asia/Tokyo")
def test_days_are_those_of_the_time_zone() -> None:
    ledger.write([row("1")])

    assert list(sums()) == [("2025-03-31", "agt_a", "")]


@pytest.mark.django_db(transaction=True)
def test_writers_of_the_same_rows_lose_no_cent_and_do_not_deadlock() -> None:
    agents = ["agt_a", "agt_b", "agt_c"]

    def write(names: list[str]) -> None:
        for _ in range(20):
            ledger.write(row("0.01", agent=name) for name in names)
        connection.close()

    threads = [threading.Thread(target=write, args=[order]) for order in (agents, agents[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Spending.objects.aggregate(total=Sum("cost"))["total"] == Decimal("1.20")

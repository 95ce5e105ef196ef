"""Workers killed around batches of the economy lane: half the price, each result once."""

import random
from collections.abc import Callable
from decimal import Decimal

import pytest

from apps.llm.ledger import tiers_of_run
from apps.llm.models import Usage
from apps.runs.models import Shipment, State
from tests.fakes.fixtures import FakeLLM
from tests.runs.economy import HALF, agent_of, start

from .harness import Workers, wait_until
from .runs import assert_consistent, done, is_over, states

pytestmark = [pytest.mark.django_db(transaction=True)]


def run_with_kills(
    fake: FakeLLM, workers: Workers, *, items: int, per_batch: int, kills: int, timeout: float
) -> None:
    """Run so many items in batches, the second of which expires, and kill workers on the way."""
    chance = random.Random(items)
    workers.environment = {**workers.environment, "TEST_BATCH_REQUESTS": str(per_batch)}
    fake.set(batches={"fates": ["ok", "expire"], "share": 0.5})
    agent_of(fake, items)
    run = start()
    workers.start()
    workers.start()
    step = items // (kills + 1)
    moments: list[Callable[[], bool]] = [
        Shipment.objects.exists,
        lambda: Shipment.objects.filter(state="sent").exists(),
        *(lambda number=number: done(run) >= number * step for number in range(1, kills - 1)),
    ]

    def kill_now_and_then() -> None:
        if moments and moments[0]():
            moments.pop(0)
            workers.kill_one(chance)

    def is_cleared() -> bool:
        """the run has ended and its files are deleted"""
        return is_over(run) and not Shipment.objects.open().exists()

    wait_until(is_cleared, timeout=timeout, every=0.02, between=kill_now_and_then)
    assert not moments
    assert (run.state, states(run)) == (State.COMPLETED, {"done": items})
    assert_consistent(current=items)
    assert tiers_of_run(run.public_id) == {"batch": items}
    assert fake.total == 0
    for row in Usage.objects.all():
        half = (row.input_tokens * HALF + row.output_tokens * 2) / 1_000_000
        assert row.cost == half.quantize(Decimal("0.000000001"))
    batches = fake.stats()["batches"]
    assert (batches["repeated"], batches["files"]) == (0, [])
    assert batches["lines"] == items
    statuses = Shipment.objects.values_list("status", flat=True)
    assert sorted(set(statuses)) == ["completed", "expired"]


def test_killed_workers_record_each_line_once(fake_llm: FakeLLM, workers: Workers) -> None:
    run_with_kills(fake_llm, workers, items=120, per_batch=60, kills=3, timeout=150)


@pytest.mark.slow
def test_five_thousand_in_batches(fake_llm: FakeLLM, workers: Workers) -> None:
    run_with_kills(fake_llm, workers, items=5_000, per_batch=2_000, kills=6, timeout=500)

"""Workers killed at random moments: nothing lost, nothing twice, nothing paid twice."""

import random

import pytest

from apps.analysis.models import Analysis
from tests.fakes.fixtures import FakeLLM

from .harness import Workers, wait_until
from .runs import assert_whole, done, is_over, run_of

pytestmark = [pytest.mark.django_db(transaction=True)]


def kill_at_random(
    fake: FakeLLM, workers: Workers, *, items: int, kills: int, seed: int, timeout: float
) -> None:
    """Run so many items with two workers, and kill one so many times on the way.

    The moments are drawn as numbers of finished items, so that a slow machine sees them too.
    """
    chance = random.Random(seed)
    workers.start()
    workers.start()
    run = run_of(fake, items)
    # The last of them in time to be felt: what finishes after it must still be a good part.
    moments = sorted(chance.sample(range(items // 50, items * 9 // 10), kills))

    def kill_now_and_then() -> None:
        if moments and done(run) >= moments[0]:
            moments.pop(0)
            workers.kill_one(chance)

    wait_until(lambda: is_over(run), timeout=timeout, every=0.02, between=kill_now_and_then)
    assert not moments
    # Lost with a worker: what it had in flight, and answers on their way into the database.
    assert_whole(run, fake, items=items, repeated=kills * 2 * workers.concurrency)


def test_workers_killed_at_random_moments(fake_llm: FakeLLM, workers: Workers) -> None:
    fake_llm.set(latency=0.1)
    kill_at_random(fake_llm, workers, items=400, kills=3, seed=2, timeout=120)


@pytest.mark.slow
def test_twenty_kills_over_fifteen_hundred_items(fake_llm: FakeLLM, workers: Workers) -> None:
    workers.concurrency = 8
    fake_llm.set(latency=0.3, jitter=1.0)
    kill_at_random(fake_llm, workers, items=1_500, kills=20, seed=20, timeout=600)


def test_a_deploy_hands_back_what_was_not_sent(fake_llm: FakeLLM, workers: Workers) -> None:
    """SIGTERM in mid-run: what is in flight is recorded, so no request is made twice."""
    fake_llm.set(latency=0.3)
    workers.start()
    run = run_of(fake_llm, 150)
    wait_until(lambda: done(run) >= 20, timeout=40)
    workers.stop()
    assert Analysis.objects.open().count() == 0
    assert run.items.filter(state="running").count() == 0
    workers.start()
    wait_until(lambda: is_over(run), timeout=60)
    assert_whole(run, fake_llm, items=150)

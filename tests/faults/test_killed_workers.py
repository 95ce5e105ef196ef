"""Workers killed at random moments: nothing lost, nothing twice, nothing paid twice."""

import random

import pytest

from apps.analysis.effects import SideEffects
from apps.analysis.models import Analysis
from apps.webhooks.claims import PER_ENDPOINT
from apps.webhooks.models import EventType
from tests.fakes.fixtures import FakeLLM
from tests.fakes.receiver import Answer, Receiver
from tests.webhooks.deliveries import endpoint_to

from .deliveries import all_settled, assert_every_result_sent, beat_all
from .harness import Workers, wait_until
from .runs import assert_whole, done, is_over, kill_on_the_way, random_moments, run_of

pytestmark = [pytest.mark.django_db(transaction=True)]


def kill_at_random(
    fake: FakeLLM, workers: Workers, *, items: int, kills: int, seed: int, timeout: float
) -> None:
    """Run so many items with two workers, and kill one so many times on the way."""
    chance = random.Random(seed)
    workers.start()
    workers.start()
    run = run_of(fake, items)
    moments = random_moments(items, kills=kills, seed=seed)
    kill_on_the_way(run, lambda: workers.kill_one(chance), moments=moments, timeout=timeout)
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


@pytest.mark.slow
def test_all_workers_killed_at_once_while_webhooks_are_sent(
    fake_llm: FakeLLM, workers: Workers, receiver: Receiver
) -> None:
    """No worker is left to take over: those that start later find everything in the database."""
    items, kills, how_many = 1_500, 8, 3
    workers.concurrency = 8
    fake_llm.set(latency=0.3, jitter=1.0)
    receiver.always(Answer(delay=0.1))
    endpoint_to(receiver.url, EventType.CONVERSATION_ANALYZED, EventType.BACKFILL_COMPLETED)
    for _ in range(how_many):
        workers.start()
    run = run_of(fake_llm, items, side_effects=SideEffects(webhooks="all"))
    moments = random_moments(items, kills=kills, seed=3)

    kill_on_the_way(run, workers.kill_every_worker, moments=moments, timeout=500, drum=beat_all)
    wait_until(all_settled, timeout=120, drum=beat_all)

    assert_whole(run, fake_llm, items=items, repeated=kills * how_many * 2 * workers.concurrency)
    assert_every_result_sent(receiver, items)
    assert len(receiver.twice) <= kills * how_many * PER_ENDPOINT


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

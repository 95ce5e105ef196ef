"""Workers killed at random moments: nothing lost, nothing twice, nothing paid twice."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db.models import Count

from apps.accounts.actors import Actor
from apps.analysis.models import Analysis
from apps.backfills.models import Backfill, State
from apps.backfills.options import Options
from apps.backfills.services import start
from apps.conversations.models import Conversation
from apps.llm.models import Usage
from tests.factories import make_agent, make_conversations, make_model
from tests.fakes.fixtures import FakeLLM

from .harness import Workers, wait_until

pytestmark = [pytest.mark.django_db(transaction=True)]

CONCURRENCY = 16


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    pool = Workers(tmp_path / "workers.log", concurrency=CONCURRENCY)
    yield pool
    pool.kill_all()


def run_of(fake: FakeLLM, items: int) -> Backfill:
    """A queued backfill of so many conversations, over the fake server."""
    agent = make_agent(model=make_model(base_url=fake.url, api_key_env="FAKE_API_KEY"))
    make_conversations(agent, items)
    return start(channel="voice", params={}, options=Options(), by=Actor.system("tests"))


def assert_whole(run: Backfill, fake: FakeLLM, *, items: int, deaths: int) -> None:
    """The promise of product 5.6, in numbers."""
    run.refresh_from_db()
    assert run.state == State.COMPLETED
    states = dict(run.items.order_by().values_list("state").annotate(Count("pk")))
    assert states == {"done": items}
    current = Analysis.objects.filter(is_current=True).order_by().values("conversation_id")
    assert current.annotate(n=Count("pk")).filter(n__gt=1).count() == 0
    assert current.count() == items
    assert Conversation.objects.filter(analysis_state="succeeded").count() == items
    assert Analysis.objects.open().count() == 0
    assert items <= fake.total <= items + deaths * CONCURRENCY
    assert Usage.objects.count() >= items


def test_workers_killed_at_random_moments(fake_llm: FakeLLM, workers: Workers) -> None:
    fake_llm.set(latency=0.05)
    run = run_of(fake_llm, 1_500)
    chance = random.Random(2)
    workers.start()
    workers.start()
    kills = 0
    next_kill = time.monotonic() + 4

    def done() -> bool:
        """every item is final"""
        return not run.items.unfinished().exists()

    def kill_now_and_then() -> None:
        nonlocal kills, next_kill
        if kills < 3 and time.monotonic() >= next_kill and run.items.filter(state="done").exists():
            workers.kill_one(chance)
            kills += 1
            next_kill = time.monotonic() + chance.uniform(0.3, 1.5)

    wait_until(done, timeout=120, every=0.05, between=kill_now_and_then)
    wait_until(lambda: Backfill.objects.get(pk=run.pk).state == State.COMPLETED, timeout=20)
    assert kills == 3
    assert_whole(run, fake_llm, items=1_500, deaths=kills)


def test_a_deploy_hands_back_what_was_not_sent(fake_llm: FakeLLM, workers: Workers) -> None:
    """SIGTERM in mid-run: what is in flight is recorded, so no request is made twice."""
    fake_llm.set(latency=0.3)
    run = run_of(fake_llm, 200)
    workers.start()
    wait_until(lambda: run.items.filter(state="done").count() >= 20, timeout=40)
    workers.stop()
    assert Analysis.objects.open().count() == 0
    assert run.items.filter(state="running").count() == 0
    workers.start()
    wait_until(lambda: not run.items.unfinished().exists(), timeout=60)
    wait_until(lambda: Backfill.objects.get(pk=run.pk).state == State.COMPLETED, timeout=20)
    assert_whole(run, fake_llm, items=200, deaths=0)

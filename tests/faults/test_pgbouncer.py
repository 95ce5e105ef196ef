"""Several workers and a web process that share a few connections through PgBouncer."""

import random
from collections.abc import Iterator

import pytest

from apps.accounts.models import Role
from apps.analysis.effects import SideEffects
from apps.webhooks.models import EventType
from tests.fakes.fixtures import FakeLLM
from tests.fakes.receiver import Receiver
from tests.webhooks.deliveries import endpoint_to

from .deliveries import all_settled, assert_every_result_sent, beat_all
from .harness import Workers, wait_until
from .pooler import POOL_SIZE, Pooler, pooled_connections, pooler
from .runs import assert_whole, is_over, kill_on_the_way, random_moments, run_of
from .web import Web, cookie_of, start_web

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

WORKERS = 3
ITEMS = 1_500
KILLS = 8


@pytest.fixture
def pgbouncer(workers: Workers) -> Iterator[Pooler]:
    """Let the workers of this test reach the database through PgBouncer only."""
    with pooler() as running:
        workers.environment = running.environment
        yield running
        workers.kill_all()


def test_three_workers_and_a_web_process_share_a_few_connections(
    fake_llm: FakeLLM, workers: Workers, receiver: Receiver, pgbouncer: Pooler
) -> None:
    """Kills, webhooks, pages, and an export: with 10 connections in place of about 100."""
    chance = random.Random(31)
    workers.concurrency = 8
    fake_llm.set(latency=0.3, jitter=1.0)
    endpoint_to(receiver.url, EventType.CONVERSATION_ANALYZED, EventType.BACKFILL_COMPLETED)
    for _ in range(WORKERS):
        workers.start()
    web, cookie = start_web(workers), cookie_of(Role.OPERATOR)
    run = run_of(fake_llm, ITEMS, side_effects=SideEffects(webhooks="all"))
    most = 0

    def look() -> None:
        """Read pages as people do, and count connections, each time the drum beats."""
        nonlocal most
        beat_all()
        for path in (f"/backfills/{run.public_id}/", "/calls/", "/healthz"):
            assert web.ask("GET", path, headers={"Cookie": cookie}).status == 200, path
        most = max(most, pooled_connections())

    kill_on_the_way(
        run,
        lambda: workers.kill_one(chance),
        moments=random_moments(ITEMS, kills=KILLS, seed=31),
        timeout=500,
        drum=look,
    )
    wait_until(all_settled, timeout=120, drum=beat_all)

    assert_whole(run, fake_llm, items=ITEMS, repeated=KILLS * 2 * workers.concurrency)
    assert_every_result_sent(receiver, ITEMS)
    assert_exported(web, cookie)
    assert 0 < most <= POOL_SIZE


def assert_exported(web: Web, cookie: str) -> None:
    """An export reads its rows in portions, which needs the setting for cursors."""
    path = "/conversations-export/?channel=voice&columns=id"
    exported = web.ask("GET", path, headers={"Cookie": cookie})
    assert exported.status == 200
    assert exported.body.count(b"\n") == ITEMS + 1


def test_pgbouncer_is_killed_in_mid_run(
    fake_llm: FakeLLM, workers: Workers, pgbouncer: Pooler
) -> None:
    """Responses that arrive without a database are recorded once it is back."""
    items = 300
    fake_llm.set(latency=0.3)
    for _ in range(2):
        workers.start()
    run = run_of(fake_llm, items)

    def restart() -> None:
        pgbouncer.kill()
        pgbouncer.start()

    kill_on_the_way(run, restart, moments=[items // 4, items // 2], timeout=120)

    assert is_over(run)
    assert_whole(run, fake_llm, items=items)

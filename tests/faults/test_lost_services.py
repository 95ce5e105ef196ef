"""The broker emptied or away, the database restarted, schedulers doubled: a delay, no loss."""

import signal
import time

import pytest

from tests.factories import make_conversations
from tests.fakes.fixtures import FakeLLM

from .harness import Workers, no_drum, wait_until
from .runs import agent_of, assert_whole, done, is_over, run_of, start_run
from .servers import Servers

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

ITEMS = 300


def test_the_broker_is_emptied_in_mid_run(
    fake_llm: FakeLLM, installation: Workers, servers: Servers
) -> None:
    """Its queues, its bindings and the kicks in it are gone; the sweeps alone bring a next run."""
    fake_llm.set(latency=0.3)
    agent = agent_of(fake_llm)
    make_conversations(agent, ITEMS)
    run = start_run()
    wait_until(lambda: done(run) >= ITEMS // 3, drum=no_drum)
    servers.empty_broker()
    wait_until(lambda: is_over(run), drum=no_drum)
    assert_whole(run, fake_llm, items=ITEMS)

    time.sleep(5)  # until the runners have ended: only a message starts another
    servers.empty_broker()
    make_conversations(agent, 50)
    second = start_run()
    wait_until(lambda: is_over(second), drum=no_drum)
    assert done(second) == 50
    assert fake_llm.total == ITEMS + 50


def test_the_broker_is_killed_and_comes_back_empty(
    fake_llm: FakeLLM, installation: Workers, servers: Servers
) -> None:
    fake_llm.set(latency=0.3)
    agent = agent_of(fake_llm)
    make_conversations(agent, ITEMS)
    run = start_run()
    wait_until(lambda: done(run) >= ITEMS // 3, drum=no_drum)
    servers.stop("valkey", signal.SIGKILL)
    wait_until(lambda: run.items.unfinished().count() == 0, drum=no_drum)

    make_conversations(agent, 50)
    second = start_run()
    time.sleep(6)
    servers.start("valkey")
    wait_until(lambda: is_over(run) and is_over(second), drum=no_drum)
    assert done(second) == 50
    assert done(run) == ITEMS
    assert fake_llm.total == ITEMS + 50


@pytest.mark.parametrize(
    ("how", "away"),
    [(signal.SIGINT, 0.0), (signal.SIGINT, 12.0), (signal.SIGQUIT, 0.0)],
    ids=["restarted", "away for longer than a lease", "crashed"],
)
def test_the_database_goes_away_in_mid_run(
    how: signal.Signals,
    away: float,
    fake_llm: FakeLLM,
    installation: Workers,
    servers: Servers,
) -> None:
    """What was answered meanwhile is kept and recorded when the database is back."""
    fake_llm.set(latency=0.3)
    run = run_of(fake_llm, ITEMS)
    moments = [ITEMS // 4, ITEMS // 2]

    def take_it_away_now_and_then() -> None:
        if moments and done(run) >= moments[0]:
            moments.pop(0)
            servers.restart_database(how, away=away)

    wait_until(
        lambda: is_over(run),
        every=0.05,
        between=take_it_away_now_and_then,
        drum=no_drum,
        timeout=120,
    )
    assert not moments
    assert_whole(run, fake_llm, items=ITEMS)


def test_two_schedulers_do_no_harm(fake_llm: FakeLLM, workers: Workers) -> None:
    fake_llm.set(latency=0.2)
    for _ in range(2):
        workers.start()
        workers.start_scheduler()
    run = run_of(fake_llm, ITEMS)
    wait_until(lambda: is_over(run), drum=no_drum)
    assert_whole(run, fake_llm, items=ITEMS)

"""Requests at a slow service tier, which outlive leases and deploys, with real workers."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from apps.analysis.models import Analysis
from apps.runs.models import Run, State
from apps.runs.options import Options
from apps.runs.services import start
from tests.factories import make_agent, make_conversations, make_model
from tests.fakes.fixtures import FakeLLM

from .harness import LEASE_SECONDS, Workers, wait_until
from .runs import TESTS, assert_whole, done, is_over, run_of, states

pytestmark = [pytest.mark.django_db(transaction=True)]

IN_FLIGHT = 4


@pytest.fixture(autouse=True)
def _few_in_flight(workers: Workers) -> None:
    workers.concurrency = IN_FLIGHT


def flex_run(fake: FakeLLM, items: int) -> Run:
    """A queued backfill of calls at the flex tier."""
    model = make_model(
        base_url=fake.url,
        api_key_env="FAKE_API_KEY",
        input_price=Decimal(1),
        output_price=Decimal(4),
        flex_factor=Decimal("0.5"),
    )
    make_conversations(make_agent(model=model), items)
    return start(channel="voice", params={}, options=Options(lane="flex"), by=TESTS)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds, also where workers take a minute to start."""
    wait_until(condition, timeout=240)


def test_a_deploy_hands_flex_requests_back_after_the_grace(
    fake_llm: FakeLLM, workers: Workers
) -> None:
    """They would take minutes more: they are given up, said in the log, and sent again."""
    workers.environment = {"TEST_STOP_GRACE_SECONDS": "1"}
    fake_llm.set(flex_latency=300)
    workers.start()
    run = flex_run(fake_llm, 12)
    wait_for(lambda: fake_llm.total == IN_FLIGHT)

    workers.stop()

    assert states(run) == {"pending": 12}
    assert Analysis.objects.open().count() == 0
    assert f"Gave up {IN_FLIGHT} requests of backfill-flex" in workers.log.read_text()
    fake_llm.set(flex_latency=0)
    workers.start()
    wait_for(lambda: is_over(run))
    assert_whole(run, fake_llm, items=12, repeated=IN_FLIGHT)


@pytest.mark.slow
def test_a_flex_request_outlives_leases_and_is_sent_once(
    fake_llm: FakeLLM, workers: Workers
) -> None:
    """Two workers: the one that has free places does not take what the other one waits for."""
    fake_llm.set(flex_latency=3 * LEASE_SECONDS)
    workers.start()
    workers.start()
    run = flex_run(fake_llm, IN_FLIGHT)
    wait_for(lambda: is_over(run))
    assert_whole(run, fake_llm, items=IN_FLIGHT)


@pytest.mark.slow
def test_standard_backfills_do_not_wait_for_flex(fake_llm: FakeLLM, workers: Workers) -> None:
    """All places of the flex tier are taken for as long as the other run takes."""
    fake_llm.set(flex_latency=300)
    workers.start()
    slow = flex_run(fake_llm, 40)
    wait_for(lambda: fake_llm.total == IN_FLIGHT)
    quick = run_of(fake_llm, 40, channel="chat")

    wait_for(lambda: is_over(quick))

    assert quick.state == State.COMPLETED
    assert states(quick) == {"done": 40}
    assert done(slow) == 0
    assert fake_llm.total == IN_FLIGHT + 40

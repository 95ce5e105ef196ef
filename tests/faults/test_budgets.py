"""Budgets and caps with real workers, one of which is killed on the way."""

import random
from decimal import Decimal

import pytest
from django.db.models import Max, Sum
from django.utils import timezone

from apps.agents.models import Agent
from apps.alerts import spending
from apps.analysis import spending_caps
from apps.analysis.auto_analysis import request_first
from apps.analysis.models import Analysis
from apps.analysis.models import State as AnalysisState
from apps.conversations.models import Conversation
from apps.llm.caps import Caps, cap_states
from apps.llm.models import LanguageModel, Usage
from apps.llm.reservations import reserved_by_agent
from apps.runs import control, services
from apps.runs.models import Run, State
from apps.runs.options import Options
from apps.runs.preview import make_preview
from tests.factories import make_conversations
from tests.fakes.fixtures import FakeLLM
from tests.runs.test_runs.factories import start_trial

from .harness import Workers, wait_until
from .runs import TESTS, agent_of, assert_consistent, assert_whole, done, is_over, states

pytestmark = [pytest.mark.django_db(transaction=True)]

ITEMS = 600
LIVE = 20
ITEMS_OF_TRIAL = 40


def three_dollar_run(fake: FakeLLM, *, budget: Decimal | None = Decimal("1.00")) -> Run:
    """Start a backfill whose estimate is $3.00."""
    make_conversations(agent_of(fake), ITEMS)
    expected = make_preview(channel="voice", params={}, options=Options()).estimate.cost
    assert expected
    model = LanguageModel.objects.get()
    assert model.input_price is not None
    assert model.output_price is not None
    model.input_price *= 3 / expected
    model.output_price *= 3 / expected
    model.save()
    options = Options(budget=budget)
    return services.start(channel="voice", params={}, options=options, by=TESTS)


def is_paused(run: Run) -> bool:
    """the run has paused"""
    run.refresh_from_db()
    return run.state == State.PAUSED


@pytest.mark.slow
def test_two_workers_and_a_kill_keep_a_budget(fake_llm: FakeLLM, workers: Workers) -> None:
    workers.concurrency = 64
    fake_llm.set(latency=0.2)
    workers.start()
    workers.start()
    run = three_dollar_run(fake_llm)

    wait_until(lambda: done(run) >= 40, timeout=90, every=0.02)
    workers.kill_one(random.Random(1))
    wait_until(lambda: is_paused(run), timeout=180)
    wait_until(lambda: not Analysis.objects.open().exists(), timeout=60)

    assert run.reason == "budget"
    sums = Usage.objects.aggregate(spent=Sum("cost"), dearest=Max("cost"))
    assert 1 <= sums["spent"] <= 1 + sums["dearest"]

    control.change_budget(run=run, budget=Decimal(10), by=TESTS)
    wait_until(lambda: is_over(run), timeout=120)
    assert_whole(run, fake_llm, items=ITEMS, repeated=2 * workers.concurrency)


@pytest.mark.slow
@pytest.mark.usefixtures("fake_key")
def test_test_runs_in_two_workers_and_a_kill_keep_a_cap(
    fake_llm: FakeLLM, workers: Workers
) -> None:
    fake_llm.set(latency=0.2)
    agent = agent_of(fake_llm)
    LanguageModel.objects.update(input_price=4, output_price=4)
    make_conversations(agent, ITEMS_OF_TRIAL)
    spending_caps.change("", Caps(day=Decimal("0.03")), by=TESTS)
    workers.start()
    workers.start()
    trials = [start_trial(agent, count=ITEMS_OF_TRIAL) for _ in range(2)]

    wait_until(lambda: sum(map(done, trials)) >= 5, timeout=90, every=0.02)
    workers.kill_one(random.Random(1))
    wait_until(lambda: cap_states()[0].is_reached and not reserved_by_agent(), timeout=90)

    sums = Usage.objects.aggregate(spent=Sum("cost"), dearest=Max("cost"))
    assert Decimal("0.03") <= sums["spent"] <= Decimal("0.03") + sums["dearest"]

    spending_caps.change("", Caps(day=Decimal(10)), by=TESTS)
    wait_until(lambda: all(map(is_over, trials)), timeout=90)
    assert sum(map(done, trials)) == 2 * ITEMS_OF_TRIAL
    assert not reserved_by_agent()


def live_analyses(agent: Agent, count: int) -> None:
    """Request the first analyses of conversations that have just ended."""
    made = make_conversations(agent, count)
    request_first(conversation_ids=[conversation.pk for conversation in made])


def waits_for_the_cap(run: Run) -> bool:
    """the run has paused, and the first analyses wait"""
    nothing_in_flight = not Analysis.objects.filter(state=AnalysisState.RUNNING).exists()
    waiting = Conversation.objects.filter(analysis_state="pending", analysis_reason="budget")
    return is_paused(run) and nothing_in_flight and waiting.count() == LIVE


@pytest.mark.slow
def test_a_day_cap_in_mid_run_stops_run_and_live_analyses_until_raised(
    fake_llm: FakeLLM, workers: Workers
) -> None:
    workers.concurrency = 64
    fake_llm.set(latency=0.2)
    workers.start()
    workers.start()
    run = three_dollar_run(fake_llm, budget=None)
    agent = Agent.objects.get()
    wait_until(lambda: done(run) >= 40, timeout=90, every=0.02)

    spending_caps.change("", Caps(day=Decimal("1.00")), by=TESTS)
    wait_until(lambda: is_paused(run), timeout=180)
    live_analyses(agent, LIVE)
    wait_until(lambda: waits_for_the_cap(run), timeout=60)

    assert run.reason == "budget"
    assert "The daily cap of $1.00 is reached" in run.reason_detail
    sums = Usage.objects.aggregate(spent=Sum("cost"), dearest=Max("cost"))
    assert 1 <= sums["spent"] <= 1 + sums["dearest"]
    assert spending.check_caps(timezone.now()) == 1
    asked = fake_llm.total

    spending_caps.change("", Caps(day=Decimal(10)), by=TESTS)
    wait_until(lambda: is_over(run), timeout=120)
    wait_until(lambda: not Analysis.objects.open().exists(), timeout=60)
    assert asked < fake_llm.total
    assert_consistent(current=ITEMS + LIVE)
    assert states(run) == {"done": ITEMS}
    assert fake_llm.total == ITEMS + LIVE

"""Caps per day and month: paid work waits at a cap, and continues without a person."""

import re
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.accounts.models import Role, User
from apps.agents.models import Agent
from apps.analysis import spending_caps
from apps.analysis.auto_analysis import request_first
from apps.analysis.missing_reason import missing_result_reason
from apps.analysis.models import Analysis
from apps.analysis.queues import FirstAnalysisQueue
from apps.analysis.services import request_rerun
from apps.conversations.models import Conversation
from apps.llm.caps import BudgetReached, Caps, Period, PriceUnknown, cap_states, set_caps
from apps.llm.models import LanguageModel, Usage
from apps.llm.specs import Priority
from apps.runs import control, recovery, services
from apps.runs.models import Run, State
from apps.runs.options import Options
from tests.factories import make_agent, make_conversation, make_conversations, make_model, spend
from tests.fakes.fixtures import FakeLLM
from tests.runners import run_queue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fake_key")]

BY = Actor.system("tests")


@pytest.fixture
def agent(fake_llm: FakeLLM) -> Agent:
    model = make_model(
        base_url=fake_llm.url,
        api_key_env="FAKE_API_KEY",
        input_price=Decimal(4),
        output_price=Decimal(4),
    )
    return make_agent(model=model)


def cap(*, day: str | None = None, month: str | None = None, agent: str = "") -> None:
    limits = Caps(Decimal(day) if day else None, Decimal(month) if month else None)
    set_caps({agent: limits}, by=BY)


def first_analyses(agent: Agent, count: int) -> list[Conversation]:
    made = make_conversations(agent, count)
    request_first(conversation_ids=[c.pk for c in made])
    return made


def run_to_the_cap(priority: Priority, *, concurrency: int) -> None:
    """Run until nothing is claimed: a runner may end while the last requests hold money."""
    while run_queue(priority, concurrency=concurrency):
        pass


def shown() -> set[tuple[str, str]]:
    return set(Conversation.objects.values_list("analysis_state", "analysis_reason"))


def test_day_and_month_are_those_of_the_time_zone() -> None:
    cap(day="1", month="10")
    now = datetime(2025, 1, 31, 12, tzinfo=timezone.get_current_timezone())
    for days in range(-35, 1):
        spend("0.30", at=now + timedelta(days=days))

    day, month = cap_states(now)

    assert (day.spent, month.spent) == (Decimal("0.30"), Decimal("9.30"))
    assert timezone.localtime(day.resets_at).isoformat()[:19] == "2025-02-01T00:00:00"
    assert month.resets_at == day.resets_at
    assert [s.spent for s in cap_states(now + timedelta(days=1))] == [0, 0]
    assert Period.MONTH.after(now.date().replace(month=12)).isoformat() == "2026-01-01"


def test_first_analyses_wait_at_a_cap_and_continue_when_it_is_raised(agent: Agent) -> None:
    made = first_analyses(agent, 3)
    spend("1")
    cap(day="1")

    assert run_queue(Priority.LIVE) == 0

    assert shown() == {("pending", "budget")}
    made[0].refresh_from_db()
    why = missing_result_reason(made[0])
    assert why.reason == "budget"
    assert "a spending cap is reached" in why.sentence
    cap(day="5")
    assert run_queue(Priority.LIVE) == 3
    assert {state for state, _ in shown()} == {"succeeded"}
    assert not Analysis.objects.exclude(reserved=None).exists()


def test_first_analyses_pass_a_cap_by_one_response(agent: Agent) -> None:
    first_analyses(agent, 30)
    cap(day="0.02")

    run_to_the_cap(Priority.LIVE, concurrency=16)

    costs = [row.cost or Decimal(0) for row in Usage.objects.all()]
    assert Decimal("0.02") <= sum(costs) <= Decimal("0.02") + max(costs)
    assert 0 < Conversation.objects.filter(analysis_reason="budget").count() < 30


def test_what_a_dead_worker_set_aside_holds_nothing_up(agent: Agent) -> None:
    first_analyses(agent, 3)
    cap(day="0.001")
    queue = FirstAnalysisQueue()
    assert len(queue.claim(10)) == 1
    assert queue.claim(10) == []
    Analysis.objects.filter(state="running").update(
        lease_until=timezone.now() - timedelta(seconds=1)
    )

    jobs = queue.claim(10)

    assert len(jobs) == 1
    queue.hand_back(jobs)
    assert not Analysis.objects.exclude(reserved=None).exists()


def test_a_cap_of_one_agent_leaves_the_others_alone(agent: Agent) -> None:
    other = make_agent(model=agent.versions.get().config.model)
    first_analyses(agent, 2)
    first_analyses(other, 2)
    spend("1", agent=agent.public_id)
    cap(day="1", agent=agent.public_id)

    assert run_queue(Priority.LIVE) == 2
    assert set(
        Conversation.objects.filter(analysis_state="pending").values_list("agent", flat=True)
    ) == {agent.pk}


def test_free_models_work_on(fake_llm: FakeLLM) -> None:
    free = make_model(base_url=fake_llm.url, api_key_env="FAKE_API_KEY", free_first_run=True)
    first_analyses(make_agent(model=free), 2)
    spend("1")
    cap(day="1")

    assert run_queue(Priority.LIVE) == 2


def test_a_rerun_is_rejected_with_the_numbers(agent: Agent) -> None:
    conversation = make_conversation(agent)
    cap(month="1")
    request_rerun(conversation=conversation, by=BY)
    run_queue(Priority.INTERACTIVE)
    spend("1")

    with pytest.raises(BudgetReached, match=r"The monthly cap of \$1.00 is reached"):
        request_rerun(conversation=conversation, by=BY)
    assert Analysis.objects.count() == 1


def test_a_model_without_a_price_is_named(fake_llm: FakeLLM) -> None:
    unpriced = make_model(name="mystery-1", input_price=None, output_price=None)
    conversation = make_conversation(make_agent(model=unpriced))
    cap(day="1")

    with pytest.raises(BudgetReached, match="The price of mystery-1 is unknown"):
        request_rerun(conversation=conversation, by=BY)


def test_a_day_cap_in_mid_run_pauses_and_everything_completes(agent: Agent) -> None:
    make_conversations(agent, 30)
    options = Options()
    run = services.start(channel="voice", params={}, options=options, by=BY)
    cap(day="0.02")

    run_to_the_cap(Priority.BACKFILL, concurrency=8)

    run.refresh_from_db()
    assert (run.state, run.reason) == (State.PAUSED, "budget")
    assert "The daily cap of $0.02 is reached" in run.reason_detail
    costs = [row.cost or Decimal(0) for row in Usage.objects.all()]
    assert sum(costs) <= Decimal("0.02") + max(costs)
    assert run.resume_at is not None
    assert recovery.probe_due(run.resume_at) == 0
    with pytest.raises(BudgetReached):
        control.resume(run=run, by=BY)

    cap(day="10")
    run.refresh_from_db()
    assert recovery.probe_due(run.resume_at) == 1
    run_queue(Priority.BACKFILL, concurrency=8)
    run.refresh_from_db()
    assert run.state == State.COMPLETED


def test_the_next_day_resumes_a_run(agent: Agent) -> None:
    make_conversations(agent, 3)
    run = services.start(channel="voice", params={}, options=Options(), by=BY)
    spend("1")
    cap(day="1")
    run_queue(Priority.BACKFILL)
    assert Run.objects.get().reason == "budget"

    assert recovery.probe_due(timezone.now() + timedelta(days=1)) == 1
    run.refresh_from_db()
    assert (run.state, run.reason) == (State.RUNNING, "")


def test_a_cap_counts_requests_that_were_in_progress_before_it(agent: Agent) -> None:
    first_analyses(agent, 3)
    queue = FirstAnalysisQueue()
    jobs = queue.claim(2)
    assert not Analysis.objects.exclude(reserved=None).exists()

    spending_caps.change("", Caps(Decimal("0.0001")), by=BY)

    assert Analysis.objects.exclude(reserved=None).count() == 2
    assert queue.claim(10) == []
    queue.hand_back(jobs)


def unpriced_agent(fake: FakeLLM) -> Agent:
    unpriced = make_model(
        name="mystery-1", base_url=fake.url, api_key_env="FAKE_API_KEY",
        input_price=None, output_price=None,
    )  # fmt: skip
    return make_agent(model=unpriced)


def test_under_a_cap_a_first_analysis_without_a_price_waits_and_lets_others_pass(
    agent: Agent, fake_llm: FakeLLM
) -> None:
    [waits] = first_analyses(unpriced_agent(fake_llm), 1)
    first_analyses(agent, 2)
    cap(day="5")

    assert [len(FirstAnalysisQueue().claim(1)) for _ in range(3)] == [1, 1, 0]
    waits.refresh_from_db()
    why = missing_result_reason(waits)
    assert (why.reason, why.way_out) == ("budget", "models")
    assert "the price of mystery-1 is unknown, which a spending cap needs" in why.sentence

    LanguageModel.objects.filter(name="mystery-1").update(input_price=1, output_price=1)
    assert len(FirstAnalysisQueue().claim(1)) == 1


def test_under_a_cap_a_backfill_without_a_price_is_rejected_with_a_link(
    fake_llm: FakeLLM, client: Client
) -> None:
    make_conversation(unpriced_agent(fake_llm))
    cap(day="5")
    sentence = "A spending cap needs the price of each model. Set the prices of mystery-1"
    with pytest.raises(PriceUnknown, match=sentence):
        services.start(channel="voice", params={}, options=Options(), by=BY)

    client.force_login(User.objects.create_user("ada", role=Role.ADMIN))
    form = {"channel": "voice"}
    shown = client.post("/backfills/preview/", form).content.decode()
    assert "A spending cap needs the price of each model" in " ".join(shown.split())
    [form["token"]] = re.findall(r'name="token" value="([^"]+)"', shown)
    page = client.post("/backfills/new/", form).content.decode()
    assert sentence in page
    model = LanguageModel.objects.get(name="mystery-1")
    assert reverse("admin:llm_languagemodel_change", args=[model.pk]) in page
    assert not Run.objects.exists()

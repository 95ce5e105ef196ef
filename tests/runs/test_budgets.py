"""Budgets of backfills: never passed by more than one response, and resumed when changed."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry, Role
from apps.agents.models import Agent
from apps.analysis import record
from apps.analysis.claims import AnalysisJob
from apps.analysis.model_call import AnalysisOutcome
from apps.analysis.models import Analysis
from apps.llm.caps import BudgetReached, PriceUnknown
from apps.llm.models import LanguageModel, Usage
from apps.llm.specs import Priority, TokenUsage
from apps.runs import budgets, control, services
from apps.runs.backfill_queue import BackfillQueue
from apps.runs.closing import close_finished
from apps.runs.models import Run, State
from apps.runs.options import Options
from apps.runs.preview import make_preview
from tests.factories import make_agent, make_conversations, make_model
from tests.fakes.fixtures import FakeLLM
from tests.locks import Writer
from tests.runners import run_queue

from .test_views import as_role

pytestmark = [pytest.mark.django_db]

BY = Actor.system("tests")
#: The cost of an outcome of `good`, and the highest cost of its request, with the model below.
COST = Decimal("0.0042")


@pytest.fixture
def model() -> LanguageModel:
    return make_model(input_price=Decimal(4), output_price=Decimal(4))


@pytest.fixture
def agent(model: LanguageModel) -> Agent:
    return make_agent(model=model)


@pytest.fixture
def source() -> BackfillQueue:
    return BackfillQueue()


def start(budget: str | None) -> Run:
    options = Options(budget=None if budget is None else Decimal(budget))
    return services.start(channel="voice", params={}, options=options, by=BY)


def good(job: AnalysisJob) -> AnalysisOutcome:
    return AnalysisOutcome(
        job, output={"call_summary": "Short."}, usage=TokenUsage(1000, 0, 50), requests=1
    )


def spent_on(run: Run) -> Decimal:
    return sum(
        (row.cost or Decimal(0) for row in Usage.objects.filter(backfill_id=run.public_id)),
        Decimal(0),
    )


def reserved() -> Decimal:
    return sum((a.reserved or Decimal(0) for a in Analysis.objects.all()), Decimal(0))


def test_a_claim_sets_money_aside_and_stops_when_nothing_is_left(
    agent: Agent, source: BackfillQueue
) -> None:
    make_conversations(agent, 50)
    run = start("0.02")

    jobs = source.claim(50)

    highest = jobs[0].reserved
    assert highest is not None
    assert highest >= COST
    assert reserved() - highest < Decimal("0.02") <= reserved()
    assert source.claim(50) == []
    balance = budgets.balance_of(run)
    assert balance is not None
    assert (balance.spent, balance.reserved) == (Decimal(0), reserved())


def test_actual_costs_free_what_was_set_aside_until_the_budget_is_spent(
    agent: Agent, source: BackfillQueue
) -> None:
    make_conversations(agent, 50)
    run = start("0.02")

    while jobs := source.claim(50):
        record.record([good(job) for job in jobs], settle=source.settle)

    run.refresh_from_db()
    assert (run.state, run.reason) == (State.PAUSED, "budget")
    assert run.reason_detail == "$0.021 of $0.02 is spent."
    assert spent_on(run) == 5 * COST
    assert reserved() == 0
    assert run.items.filter(state="pending").count() == 45


def test_what_a_dead_worker_set_aside_goes_to_the_next_one(
    agent: Agent, source: BackfillQueue
) -> None:
    make_conversations(agent, 50)
    start("0.02")
    lost = source.claim(50)
    before = reserved()
    Analysis.objects.update(lease_until=timezone.now() - timedelta(seconds=1))

    again = source.claim(50)

    assert {job.analysis_id for job in again} == {job.analysis_id for job in lost}
    assert reserved() == before


def test_a_pause_releases_what_a_dead_worker_set_aside(agent: Agent, source: BackfillQueue) -> None:
    make_conversations(agent, 5)
    run = start("0.02")
    source.claim(50)
    Analysis.objects.update(lease_until=timezone.now() - timedelta(seconds=1))

    control.pause(run=run, by=BY)
    close_finished()

    balance = budgets.balance_of(run)
    assert balance is not None
    assert balance.left == balance.limit


def test_what_is_handed_back_is_released(agent: Agent, source: BackfillQueue) -> None:
    make_conversations(agent, 5)
    run = start("1")
    source.hand_back(source.claim(3))

    balance = budgets.balance_of(run)
    assert balance is not None
    assert balance.left == 1


def test_without_a_budget_nothing_is_set_aside(agent: Agent, source: BackfillQueue) -> None:
    make_conversations(agent, 3)
    run = start(None)

    assert [job.reserved for job in source.claim(3)] == [None] * 3
    assert budgets.balance_of(run) is None


def test_resuming_needs_a_larger_budget(agent: Agent, source: BackfillQueue) -> None:
    make_conversations(agent, 10)
    run = start("0.001")
    record.record([good(job) for job in source.claim(10)], settle=source.settle)
    assert source.claim(10) == []
    run.refresh_from_db()

    with pytest.raises(BudgetReached, match=r"The budget of \$0.001 is spent"):
        control.resume(run=run, by=BY)
    control.change_budget(run=run, budget=Decimal("0.0015"), by=BY)
    assert (run.state, run.reason) == (State.PAUSED, "budget")  # still spent
    control.change_budget(run=run, budget=Decimal(1), by=BY)

    assert (run.state, run.reason) == (State.RUNNING, "")
    record.record([good(job) for job in source.claim(10)], settle=source.settle)
    source.finished()
    run.refresh_from_db()
    assert run.state == State.COMPLETED
    changes = AuditEntry.objects.filter(verb="backfill.budget_changed").order_by("pk")
    assert [entry.detail for entry in changes] == [
        {"from": "0.001", "to": "0.0015"},
        {"from": "0.0015", "to": "1"},
    ]


def test_a_budget_set_in_mid_run_counts_what_is_in_flight(
    agent: Agent, source: BackfillQueue
) -> None:
    make_conversations(agent, 20)
    run = start(None)
    jobs = source.claim(10)

    control.change_budget(run=run, budget=Decimal("0.02"), by=BY)

    assert all(a.reserved for a in Analysis.objects.filter(pk__in=[j.analysis_id for j in jobs]))
    assert source.claim(10) == []


def test_a_budget_that_is_removed_sets_the_run_free(agent: Agent, source: BackfillQueue) -> None:
    make_conversations(agent, 10)
    run = start("0.001")
    source.claim(10)
    control.change_budget(run=run, budget=None, by=BY)

    assert len(source.claim(10)) == 9


def test_who_saw_another_budget_is_asked_to_look_again(agent: Agent) -> None:
    make_conversations(agent, 3)
    run = start("1")
    seen = budgets.Seen(Decimal(1))
    control.change_budget(run=run, budget=Decimal(2), by=BY, seen=seen)

    with pytest.raises(budgets.BudgetChanged, match=r"changed to \$2.00 in the meantime"):
        control.change_budget(run=run, budget=Decimal(3), by=BY, seen=seen)
    run.refresh_from_db()
    assert budgets.budget_of(run.options) == 2


@pytest.mark.django_db(transaction=True)
def test_of_two_people_who_change_the_budget_at_once_one_is_told(agent: Agent) -> None:
    make_conversations(agent, 3)
    run = start("1")

    def change(to: int) -> str:
        try:
            control.change_budget(
                run=Run.objects.get(pk=run.pk),
                budget=Decimal(to),
                by=BY,
                seen=budgets.Seen(Decimal(1)),
            )
        except budgets.BudgetChanged as error:
            return error.message
        return ""

    writers = [Writer(lambda to=to: change(to)) for to in (2, 3)]  # type: ignore[misc]
    for writer in writers:
        writer.join(timeout=30)

    run.refresh_from_db()
    assert budgets.budget_of(run.options) in {2, 3}
    assert AuditEntry.objects.filter(verb="backfill.budget_changed").count() == 1


def test_the_budget_of_an_ended_run_is_fixed(agent: Agent) -> None:
    make_conversations(agent, 3)
    run = start("1")
    control.cancel(run=run, by=BY)

    with pytest.raises(budgets.BudgetFixed, match="This backfill is canceled"):
        control.change_budget(run=run, budget=Decimal(2), by=BY)


def test_a_model_without_a_price_is_named(source: BackfillQueue) -> None:
    unpriced = make_model(name="mystery-1", input_price=None, output_price=None)
    make_conversations(make_agent(model=unpriced), 3)

    with pytest.raises(PriceUnknown, match="Set the prices of mystery-1 under Models"):
        start("1")
    run = start(None)
    with pytest.raises(PriceUnknown, match="mystery-1"):
        control.change_budget(run=run, budget=Decimal(1), by=BY)
    url = reverse("runs:budget", args=[run.public_id])
    page = as_role(Role.ADMIN).post(url, {"budget": "1"}).content.decode()
    assert f"/admin/llm/languagemodel/{unpriced.pk}/change/" in page


def test_a_price_that_is_removed_in_mid_run_pauses_it(
    agent: Agent, model: LanguageModel, source: BackfillQueue
) -> None:
    make_conversations(agent, 3)
    run = start("1")
    LanguageModel.objects.filter(pk=model.pk).update(input_price=None, output_price=None)

    assert source.claim(3) == []
    run.refresh_from_db()
    assert (run.state, run.reason) == (State.PAUSED, "budget")
    assert "no longer has a price" in run.reason_detail


def test_the_estimate_says_where_the_budget_stops(agent: Agent) -> None:
    make_conversations(agent, 30)
    plain = make_preview(channel="voice", params={}, options=Options())
    assert plain.estimate.cost is not None
    third = (plain.estimate.cost / 3).quantize(Decimal("0.0001"))

    limited = make_preview(channel="voice", params={}, options=Options(budget=third))

    assert plain.stops_after is None
    assert limited.stops_after in {9, 10}


def priced_run(fake: FakeLLM, items: int, *, dollars: int, budget: str) -> Run:
    """Start a backfill whose estimate is this many dollars."""
    model = make_model(base_url=fake.url, api_key_env="FAKE_API_KEY", max_output_tokens=4_096)
    make_conversations(make_agent(model=model), items)
    expected = make_preview(channel="voice", params={}, options=Options()).estimate.cost
    assert expected
    factor = dollars / expected
    LanguageModel.objects.filter(pk=model.pk).update(
        input_price=Decimal("0.40") * factor, output_price=Decimal("1.60") * factor
    )
    return start(budget)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("fake_key")
def test_one_dollar_of_three_with_many_in_flight(fake_llm: FakeLLM) -> None:
    fake_llm.set(latency=0.05)
    run = priced_run(fake_llm, 300, dollars=3, budget="1.00")

    runners = [Writer(lambda: run_queue(Priority.BACKFILL, concurrency=32)) for _ in range(2)]
    for runner in runners:
        runner.join(timeout=120)
    # Each may have ended while the rest was reserved by the other. The sweep wakes one again.
    run_queue(Priority.BACKFILL, concurrency=32)

    run.refresh_from_db()
    assert (run.state, run.reason) == (State.PAUSED, "budget")
    dearest = max(row.cost or Decimal(0) for row in Usage.objects.all())
    assert 1 <= spent_on(run) <= 1 + dearest
    assert reserved() == 0

    control.change_budget(run=run, budget=Decimal(10), by=BY)
    run_queue(Priority.BACKFILL, concurrency=64)
    run.refresh_from_db()
    assert run.state == State.COMPLETED


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("fake_key")
@pytest.mark.parametrize("behaviour", ["length", "not_json"])
def test_asking_again_counts_against_the_budget(fake_llm: FakeLLM, behaviour: str) -> None:
    fake_llm.set(latency=0.02, always=behaviour)
    run = priced_run(fake_llm, 100, dollars=3, budget="0.50")

    run_queue(Priority.BACKFILL, concurrency=32)

    run.refresh_from_db()
    assert (run.state, run.reason) == (State.PAUSED, "budget")
    dearest = max((row.cost or Decimal(0)) for row in Usage.objects.all())
    assert spent_on(run) <= Decimal("0.50") + dearest
    assert reserved() == 0


def test_the_dialog_shows_what_is_spent_and_resumes(agent: Agent, source: BackfillQueue) -> None:
    client = as_role(Role.OPERATOR)
    make_conversations(agent, 10)
    run = start("0.001")
    record.record([good(job) for job in source.claim(10)], settle=source.settle)
    source.claim(10)
    url = reverse("runs:budget", args=[run.public_id])

    page = client.get(reverse("runs:detail", args=[run.public_id])).text
    assert "The budget is reached" in page
    assert "$0.0042 of $0.001 is spent." in " ".join(page.split())
    assert url in page

    dialog = client.get(url, headers={"HX-Request": "true"}).text
    assert "$0.0042" in dialog
    done = client.post(
        url, {"budget": "$1,000.50", "seen": "0.001"}, headers={"HX-Request": "true"}
    )
    run.refresh_from_db()
    assert (run.state, budgets.budget_of(run.options)) == (State.RUNNING, Decimal("1000.50"))
    assert done.status_code == 204

    outdated = client.post(url, {"budget": "5", "seen": "0.001"}, headers={"HX-Request": "true"})
    assert "changed to $1,000.50 in the meantime" in outdated.text
    assert 'value="1000.50"' in outdated.text


def test_the_form_compares_the_estimate_with_the_budget(agent: Agent) -> None:
    client = as_role(Role.OPERATOR)
    make_conversations(agent, 30)
    asked = {"channel": "voice", "budget": "0.01"}

    text = client.post(reverse("runs:preview"), asked, headers={"HX-Request": "true"}).text
    assert "Stops after about" in text
    words = " ".join(strip_tags(text).split())
    assert ", up to the budget of $0.01." in words
    assert "Save · up to $0.01" in words
    wrong = {**asked, "budget": "-1"}
    text = client.post(reverse("runs:preview"), wrong, headers={"HX-Request": "true"}).text
    assert "The budget must be more than $0" in text

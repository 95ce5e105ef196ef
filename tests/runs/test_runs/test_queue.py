"""Trials over a real database and a real server of the OpenAI protocol."""

import threading
import time
from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import User
from apps.agents.models import Agent
from apps.analysis import spending_caps
from apps.analysis.auto_analysis import request_first
from apps.analysis.model_call import AnalysisOutcome
from apps.analysis.models import Analysis
from apps.analysis.queues import FirstAnalysisQueue
from apps.analysis.services import request_rerun
from apps.conversations.models import Conversation, Transcript
from apps.llm.caps import BudgetReached, Caps
from apps.llm.models import Purpose, Usage
from apps.llm.reservations import reserved_by_agent
from apps.llm.specs import Priority, TokenUsage
from apps.runs import control
from apps.runs.models import Run, RunItem
from apps.runs.tasks import purge, run_trials, sweep
from apps.runs.test_runs import services as trial_services
from apps.runs.test_runs.queue import TrialQueue
from apps.webhooks.models import Event
from apps.work.host import Host
from apps.work.queue import MAX_ATTEMPTS
from apps.work.runner import Runner
from tests.factories import (
    edit_prompt,
    make_agent,
    make_conversations,
    make_derived_field,
    make_model,
)
from tests.fakes.fixtures import FakeLLM
from tests.locks import Writer
from tests.runners import run_queue, run_source

from .factories import ADA, start_trial

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fake_key")]
SOURCE = TrialQueue()


def some(fake: FakeLLM, how_many: int = 3) -> list[Conversation]:
    model = make_model(base_url=fake.url, api_key_env="FAKE_API_KEY")
    return make_conversations(make_agent(model=model), how_many)


def everything_else() -> list[object]:
    """What a trial must leave as it was: analyses, columns, events."""
    return [
        list(Analysis.objects.order_by("pk").values()),
        list(Conversation.objects.order_by("pk").values()),
        list(Event.objects.values()),
    ]


def test_a_trial_shows_what_the_draft_finds_and_leaves_all_as_it_was(fake_llm: FakeLLM) -> None:
    rows = some(fake_llm)
    request_rerun(conversation=rows[0], by=ADA)
    run_queue(Priority.INTERACTIVE)
    edit_prompt(rows[0].agent, "Only one word.")
    before = everything_else()
    trial = start_trial(rows[0].agent)
    assert run_source(SOURCE) == 3
    items = list(trial.items.all())
    assert [item.state for item in items] == ["done"] * 3
    assert all(item.output and item.latency_ms and item.input_tokens for item in items)
    assert {item.previous_analysis_id for item in items} == {None, Analysis.objects.get().pk}
    assert "Only one word." in str(fake_llm.bodies[-1])
    assert everything_else() == before
    assert not trial_services.work_waits()


def test_a_trial_computes_derived_fields_and_stores_them_nowhere_else(fake_llm: FakeLLM) -> None:
    answer = {"call_summary": "Short.", "call_successful": True, "user_sentiment": "Negative"}
    fake_llm.set(answers={"": answer})
    rows = some(fake_llm)
    points = [
        {"label": "Solved", "points": 3, "when": {"field": "call_successful", "value": True}},
        {"label": "Calm", "points": 1,
         "when": {"field": "user_sentiment", "op": "ne", "value": "Negative"}},
        {"label": "Summary", "points": 1, "when": {"field": "call_summary", "value": "Short."}},
    ]  # fmt: skip
    make_derived_field(definition={"scorecard": {"points": points, "pass_mark": 70}})
    before = everything_else()
    twins = [start_trial(rows[0].agent), start_trial(rows[0].agent)]
    run_source(SOURCE)
    computed = {"quality": 80, "quality_passed": True, "quality_failed": ["Calm"]}
    for trial in twins:
        for item in trial.items.all():
            assert item.output is not None
            assert {name: item.output.get(name) for name in computed} == computed
    assert everything_else() == before
    request_rerun(conversation=rows[0], by=ADA)
    run_queue(Priority.INTERACTIVE)
    recorded = Analysis.objects.get().output
    item = twins[0].items.get(conversation=rows[0])
    assert recorded == item.output, "as in recording"


def test_the_ledger_says_what_it_was_for_and_who_asked(fake_llm: FakeLLM) -> None:
    rows = some(fake_llm)
    trial = start_trial(rows[0].agent)
    run_source(SOURCE)
    ledger = Usage.objects.filter(purpose=Purpose.TRY_IT)
    assert set(ledger.values_list("who", "agent_id", "analysis_id", "trigger")) == {
        (ADA.label, rows[0].agent.public_id, "", "")
    }
    assert set(ledger.values_list("conversation_id", flat=True)) == {c.public_id for c in rows}
    spent = sum(usage.cost or 0 for usage in ledger)
    items = list(trial.items.all())
    assert spent == sum((item.cost or 0 for item in items), Decimal(0))
    assert spent == sum(
        (item.input_tokens or 0) * Decimal("0.40") + (item.output_tokens or 0) * Decimal("1.60")
        for item in items
    ) / Decimal(1_000_000)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("refusal", "refusal"),
        ("empty", "empty_output"),
        ("length", "length"),
        ("not_json", "invalid_output"),
        ("401", "auth"),
        ("quota", "quota"),
        ("nul", ""),
    ],
)
def test_answers_that_misbehave_fail_with_their_sentence(
    fake_llm: FakeLLM, kind: str, code: str
) -> None:
    rows = some(fake_llm, 1)
    before = everything_else()
    trial = start_trial(rows[0].agent)
    fake_llm.always(kind)
    run_source(SOURCE)
    item = trial.items.get()
    assert item.is_final
    assert item.error_code == code
    assert bool(code) == item.sentence.endswith(".") or not code
    assert everything_else() == before


def test_what_a_killed_worker_held_is_taken_again_and_only_then(fake_llm: FakeLLM) -> None:
    some_rows = some(fake_llm, 1)
    trial = start_trial(some_rows[0].agent)
    [lost] = SOURCE.claim(5)
    assert SOURCE.claim(5) == []
    RunItem.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert run_source(SOURCE) == 1
    item = trial.items.get()
    assert (item.state, item.attempts) == ("done", 2)
    output = item.output
    late = AnalysisOutcome(
        lost, output={"call_summary": "late"}, requests=1, usage=TokenUsage(10, 0, 5)
    )
    SOURCE.record([late])
    item.refresh_from_db()
    assert item.output == output
    assert Usage.objects.count() == 2  # what the lost one spent is paid for all the same


def test_a_recording_whose_answer_was_lost_is_not_ledgered_twice(fake_llm: FakeLLM) -> None:
    start_trial(some(fake_llm, 1)[0].agent)
    [job] = SOURCE.claim(1)
    good = AnalysisOutcome(job, output={}, requests=1, usage=TokenUsage(10, 0, 5))
    SOURCE.record([good])
    SOURCE.record([good])
    assert Usage.objects.count() == 1


def test_the_heartbeat_keeps_what_is_held(fake_llm: FakeLLM) -> None:
    start_trial(some(fake_llm, 1)[0].agent)
    jobs = SOURCE.claim(1)
    RunItem.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    SOURCE.extend(jobs)
    assert SOURCE.claim(1) == []


def test_what_kills_every_worker_is_given_up(fake_llm: FakeLLM) -> None:
    trial = start_trial(some(fake_llm, 1)[0].agent)
    RunItem.objects.update(attempts=MAX_ATTEMPTS)
    assert SOURCE.claim(1) == []
    item = trial.items.get()
    assert (item.state, item.error_code) == ("failed", "internal")


def test_what_was_not_sent_is_handed_back_or_is_over_where_cancelled(fake_llm: FakeLLM) -> None:
    trial = start_trial(some(fake_llm, 2)[0].agent)
    SOURCE.hand_back(SOURCE.claim(1))
    assert list(trial.items.values_list("state", "attempts")) == [("pending", 0)] * 2
    held = SOURCE.claim(2)
    control.cancel(run=trial, by=ADA)
    assert SOURCE.stopped(held) == held
    SOURCE.hand_back(held)
    assert set(trial.items.values_list("state", flat=True)) == {"skipped"}


def test_what_a_dead_worker_held_of_a_cancelled_trial_is_not_sent(fake_llm: FakeLLM) -> None:
    trial = start_trial(some(fake_llm, 1)[0].agent)
    SOURCE.claim(1)
    control.cancel(run=trial, by=ADA)
    RunItem.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert SOURCE.claim(1) == []
    assert trial.items.get().state == "skipped"


def test_an_erased_conversation_takes_its_item_but_not_its_line_of_the_ledger(
    fake_llm: FakeLLM,
) -> None:
    [conversation] = some(fake_llm, 1)
    trial = start_trial(conversation.agent)
    [job] = SOURCE.claim(1)
    conversation.delete()
    SOURCE.record([AnalysisOutcome(job, output={}, requests=1, usage=TokenUsage(10, 0, 5))])
    assert not trial.items.exists()
    assert Usage.objects.get().purpose == Purpose.TRY_IT


def test_a_result_that_cannot_be_stored_fails_alone(fake_llm: FakeLLM) -> None:
    trial = start_trial(some(fake_llm, 2)[0].agent)
    bad, good = SOURCE.claim(2)
    SOURCE.record(
        [
            AnalysisOutcome(bad, output={"call_summary": "\x00"}, requests=1),
            AnalysisOutcome(good, output={"call_summary": "Fine."}, requests=1),
        ]
    )
    assert [item.error_code for item in trial.items.all()] == ["internal", ""]


def test_the_task_runs_beside_a_rerun_and_the_sweep_finds_what_was_not_kicked(
    fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr("apps.runs.tasks.send", lambda name, **_: sent.append(name))
    host = Host()
    monkeypatch.setattr("apps.runs.tasks.host", host)
    monkeypatch.setattr("apps.work.host.Runner", partial(Runner, idle=0.0))
    trial = start_trial(some(fake_llm, 2)[0].agent)
    sweep()
    assert sent == ["runs.run_trials"]
    running = threading.Thread(target=run_trials, daemon=True)
    running.start()
    deadline = time.monotonic() + 20
    while trial_services.work_waits() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(trial.items.values_list("state", flat=True)) == {"done"}
    running.join(timeout=20)
    host.close()
    type(trial).objects.update(created_at=timezone.now() - timedelta(days=8))
    purge()
    assert not RunItem.objects.exists()
    assert Transcript.objects.count() == 2


def capped_trial(fake: FakeLLM, how_many: int, cap: str) -> Run:
    """Start a test run whose responses cost money, then set a daily cap."""
    model = make_model(
        base_url=fake.url, api_key_env="FAKE_API_KEY",
        input_price=Decimal(4), output_price=Decimal(4),
    )  # fmt: skip
    agent = make_agent(model=model)
    make_conversations(agent, how_many)
    trial = start_trial(agent)
    spending_caps.change("", Caps(Decimal(cap)), by=ADA)
    return trial


def test_a_trial_passes_a_cap_by_one_response_and_continues_when_it_is_raised(
    fake_llm: FakeLLM, client: Client
) -> None:
    trial = capped_trial(fake_llm, 5, "0.004")
    while run_source(SOURCE):
        pass

    costs = [row.cost or Decimal(0) for row in Usage.objects.all()]
    assert Decimal("0.004") <= sum(costs) <= Decimal("0.004") + max(costs)
    done = trial.items.filter(state="done").count()
    assert 0 < done < 5
    assert trial_services.work_waits()
    client.force_login(User.objects.create_user("vi"))
    page = client.get(reverse("runs:trial", args=[trial.public_id])).content.decode()
    assert "The daily cap of $0.004 is reached." in page

    spending_caps.change("", Caps(Decimal(5)), by=ADA)
    assert run_source(SOURCE) == 5 - done
    assert not trial_services.work_waits()


def test_items_in_progress_hold_other_work_back(fake_llm: FakeLLM) -> None:
    trial = capped_trial(fake_llm, 3, "0.0001")
    agent = Agent.objects.get()
    [job] = SOURCE.claim(8)
    [item] = trial.items.filter(state="running")
    assert item.reserved
    assert reserved_by_agent() == {agent.public_id: item.reserved}
    request_first(conversation_ids=[c.pk for c in make_conversations(agent, 1)])

    assert FirstAnalysisQueue().claim(8) == []
    with pytest.raises(BudgetReached):
        request_rerun(conversation=Conversation.objects.earliest("pk"), by=ADA)

    SOURCE.hand_back([job])
    assert not reserved_by_agent()
    assert len(FirstAnalysisQueue().claim(8)) == 1
    assert SOURCE.claim(8) == []


def test_items_claimed_before_a_cap_count_from_its_first_moment(fake_llm: FakeLLM) -> None:
    start_trial(some(fake_llm, 3)[0].agent)
    SOURCE.claim(2)
    spending_caps.change("", Caps(Decimal("0.0001")), by=ADA)

    assert SOURCE.claim(1) == []
    [budget] = spending_caps.budgets()
    assert budget.day.reserved > Decimal("0.0001")


def test_two_workers_and_a_dead_one_pass_a_cap_by_one_response(fake_llm: FakeLLM) -> None:
    """Each thread has a connection of its own, as each worker process has."""
    fake_llm.set(latency=0.05)
    trial = capped_trial(fake_llm, 12, "0.006")
    assert len(TrialQueue().claim(1)) == 1
    trial.items.filter(state="running").update(lease_until=timezone.now() - timedelta(seconds=1))

    workers = [Writer(partial(run_source, TrialQueue())) for _ in range(2)]
    for worker in workers:
        worker.join()
    while run_source(SOURCE):  # both may have ended while the last requests held money
        pass

    costs = [row.cost or Decimal(0) for row in Usage.objects.all()]
    assert Decimal("0.006") <= sum(costs) <= Decimal("0.006") + max(costs)
    assert not reserved_by_agent()


def test_items_of_a_dead_worker_hold_no_cap_back(fake_llm: FakeLLM) -> None:
    trial = capped_trial(fake_llm, 3, "0.0001")
    assert len(SOURCE.claim(8)) == 1
    assert SOURCE.claim(8) == []
    trial.items.filter(state="running").update(lease_until=timezone.now() - timedelta(seconds=1))
    assert len(SOURCE.claim(8)) == 1

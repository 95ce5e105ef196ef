"""Runs that their provider paused: probed for, resumed by themselves, or left to a person."""

import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from apps.accounts.models import AuditEntry
from apps.analysis.claims import AnalysisJob
from apps.analysis.model_call import AnalysisOutcome
from apps.analysis.models import Analysis
from apps.llm.failed_request import RetryPolicy
from apps.llm.models import Usage
from apps.llm.specs import Priority
from apps.runs import recovery
from apps.runs.backfill_queue import BackfillQueue
from apps.runs.control import pause
from apps.runs.models import Run, RunItem, State
from apps.runs.progress import progress_of
from tests.fakes.fixtures import FakeLLM
from tests.faults.runs import TESTS, assert_consistent, is_over, run_of, states
from tests.runners import run_queue

pytestmark = [pytest.mark.django_db(transaction=True)]

NO_PATIENCE = RetryPolicy(attempts=2, first_delay=0.01, limit_patience=0.3)


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("FAKE_API_KEY", "fake")
    yield
    connection.close()


def work(concurrency: int = 4) -> None:
    run_queue(Priority.BACKFILL, concurrency=concurrency, retry=NO_PATIENCE)


def reload(run: Run) -> Run:
    run.refresh_from_db()
    return run


def failing(run: Run, *, code: str, pause: str = "", **values: object) -> AnalysisOutcome:
    """What a runner hands to the source for the next item of a run."""
    [job] = BackfillQueue().claim(1)
    assert job.backfill_id == run.pk
    return AnalysisOutcome(job, error_code=code, error_message="No.", pause=pause, **values)  # type: ignore[arg-type]


def test_an_outage_fails_no_item_and_ends_by_itself(fake_llm: FakeLLM) -> None:
    run = run_of(fake_llm, 12)
    fake_llm.always("503")
    work()
    assert (reload(run).state, run.reason) == (State.PAUSED, "provider_down")
    assert states(run) == {"pending": 12}
    assert Analysis.objects.count() == 0
    assert run.resume_at is not None

    assert recovery.probe_due(run.resume_at) == 0
    assert reload(run).probes == 1
    assert run.state == State.PAUSED
    assert run.items.filter(tries__gt=0).count() == 0, "an outage counts against no item"

    fake_llm.always("ok")
    assert run.resume_at is not None
    assert recovery.probe_due(run.resume_at) == 1
    assert (reload(run).state, run.reason) == (State.RUNNING, "")
    assert Run.objects.filter(resume_at=None).exists()
    work()
    assert states(run) == {"done": 12}
    assert is_over(run)
    assert AuditEntry.objects.filter(verb="backfill.resumed", who__contains="backfill").exists()
    assert Usage.objects.filter(who="system: probe", backfill_id=run.public_id).count() == 1
    Usage.objects.filter(who="system: probe").delete()
    assert_consistent(current=12)


def test_ten_minutes_of_outage_are_outlasted_by_the_clock(fake_llm: FakeLLM) -> None:
    run = run_of(fake_llm, 3)
    fake_llm.always("503")
    work()
    began = timezone.now()
    now: datetime = began
    for _ in range(20):
        if (at := reload(run).resume_at) is None:
            break
        now = max(now, at)
        if now - began > timedelta(minutes=10):
            fake_llm.always("ok")
        recovery.probe_due(now)
    assert reload(run).state == State.RUNNING
    assert timedelta(minutes=10) < now - began < timedelta(minutes=16)
    assert run.probes <= 9
    work()
    assert states(run) == {"done": 3}


def test_a_rate_limit_pauses_and_is_probed_for(fake_llm: FakeLLM) -> None:
    run = run_of(fake_llm, 20)
    fake_llm.always("429")
    work()
    assert (reload(run).state, run.reason) == (State.PAUSED, "rate_limited")
    assert states(run) == {"pending": 20}
    assert fake_llm.total <= 20
    fake_llm.always("ok")
    assert run.resume_at is not None
    assert recovery.probe_due(run.resume_at) == 1
    work()
    assert states(run) == {"done": 20}


def test_a_long_retry_after_says_when_to_probe(fake_llm: FakeLLM) -> None:
    run = run_of(fake_llm, 3)
    fake_llm.always("429_retry_after:900")
    work()
    assert reload(run).state == State.PAUSED
    assert run.resume_at is not None
    left = run.resume_at - timezone.now()
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)


@pytest.mark.parametrize(("kind", "reason"), [("401", "auth"), ("quota", "quota")])
def test_a_key_and_an_account_wait_for_a_person(fake_llm: FakeLLM, kind: str, reason: str) -> None:
    run = run_of(fake_llm, 6)
    fake_llm.always(kind)
    work()
    assert (reload(run).state, run.reason, run.resume_at) == (State.PAUSED, reason, None)
    assert not recovery.due(timezone.now() + timedelta(days=30))
    assert states(run) == {"pending": 6}


def test_a_probe_that_meets_a_refused_key_leaves_the_run_to_a_person(fake_llm: FakeLLM) -> None:
    run = run_of(fake_llm, 6)
    fake_llm.always("503")
    work()
    fake_llm.always("401")
    assert reload(run).resume_at is not None
    recovery.probe_due(run.resume_at)
    assert (reload(run).state, run.reason, run.resume_at) == (State.PAUSED, "auth", None)


def test_an_unknown_model_pauses_and_goes_on_when_it_is_there(fake_llm: FakeLLM) -> None:
    run = run_of(fake_llm, 6)
    fake_llm.always("404")
    work()
    assert (reload(run).state, run.reason) == (State.PAUSED, "provider_down")
    assert "does not exist" in run.reason_detail
    assert states(run) == {"pending": 6}
    assert run.resume_at is not None
    assert recovery.probe_due(run.resume_at) == 0
    fake_llm.always("ok")
    at = reload(run).resume_at
    assert at is not None
    assert recovery.probe_due(at) == 1


def test_an_item_that_nobody_can_answer_fails_alone(fake_llm: FakeLLM) -> None:
    run = run_of(fake_llm, 3)
    poisoned = run.items.get(pk=run.items.order_by("pk").values("pk")[:1])
    assert poisoned.conversation
    transcript = poisoned.conversation.transcript
    transcript.messages[-1]["content"] += " [[fake:500]]"
    transcript.save()
    for _ in range(10):
        work()
        if is_over(run):
            break
        RunItem.objects.filter(not_before__isnull=False).update(not_before=None)
        if run.resume_at is not None:
            recovery.probe_due(run.resume_at)
    assert run.state == State.COMPLETED
    assert states(run) == {"done": 2, "failed": 1}
    poisoned.refresh_from_db()
    assert (poisoned.error_code, poisoned.tries) == ("provider_error", recovery.MOST_TRIES - 1)


def test_intervals_grow_while_nothing_gets_done_and_end(fake_llm: FakeLLM) -> None:
    run = run_of(fake_llm, 3)
    source = BackfillQueue()
    waits = []
    for _ in range(3):
        outcome = failing(run, code="rate_limited", pause="rate_limited", transient=True)
        assert source.pause(outcome)
        source.hand_back([outcome.job])
        at = reload(run).resume_at
        assert at is not None
        waits.append((at - timezone.now()).total_seconds())
        recovery._next(at)
        assert recovery.resume_by_itself(reload(run))
    assert all(1.5 * a < b for a, b in itertools.pairwise(waits))

    outcome = failing(run, code="connection", pause="provider_down")
    source.pause(outcome)
    Run.objects.update(probes=recovery.MOST_PROBES - 1)
    at = reload(run).resume_at
    assert at is not None
    recovery._next(at)
    assert (reload(run).state, run.resume_at) == (State.PAUSED, None)


def test_of_two_workers_one_probes(fake_llm: FakeLLM) -> None:
    run = run_of(fake_llm, 3)
    outcome = failing(run, code="connection", pause="provider_down")
    source = BackfillQueue()
    source.pause(outcome)
    source.hand_back([outcome.job])
    at = reload(run).resume_at
    assert at is not None
    assert recovery._next(at) is not None
    assert recovery._next(at) is None


def test_a_run_that_somebody_paused_is_left_alone(fake_llm: FakeLLM) -> None:
    run = run_of(fake_llm, 3)
    pause(run=run, by=TESTS)
    assert not recovery.due(timezone.now() + timedelta(days=1))
    assert not recovery.resume_by_itself(run)
    assert reload(run).state == State.PAUSED


def test_the_first_analysis_that_waits_gives_way(fake_llm: FakeLLM) -> None:
    run = run_of(fake_llm, 2)
    item = run.items.select_related("conversation").order_by("pk")[0]
    assert item.conversation
    waiting = Analysis.objects.create(
        conversation=item.conversation,
        config_id=item.config_id,
        agent_version_id=item.agent_version_id,
        trigger="initial",
        priority=Priority.LIVE,
        requested_by="tests",
        tries=2,
        error_code="connection",
        not_before=timezone.now() + timedelta(minutes=5),
    )
    work()
    assert is_over(run)
    assert states(run) == {"done": 2}
    waiting.refresh_from_db()
    assert (waiting.state, waiting.error_code) == ("failed", "connection")


def _job(run: Run) -> AnalysisJob:
    [job] = BackfillQueue().claim(1)
    return job


def test_progress_of_a_put_off_item_is_pending(fake_llm: FakeLLM) -> None:
    run = run_of(fake_llm, 1)
    source = BackfillQueue()
    outcome = AnalysisOutcome(
        _job(run), error_code="timeout", error_message="Slow.", transient=True
    )
    assert source.put_off(outcome)
    assert progress_of(run).counts()["pending"] == 1
    assert source.claim(1) == []

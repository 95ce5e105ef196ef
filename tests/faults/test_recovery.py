"""Providers that go away, limit, refuse one transcript or the key: real workers, nobody clicks."""

import time

import pytest
from django.conf import settings

from apps.analysis.auto_analysis import request_first
from apps.analysis.models import Analysis
from apps.conversations.models import Conversation, Transcript
from apps.core.tasks import send
from apps.llm.specs import Priority
from apps.runs.control import cancel, resume
from apps.runs.models import PauseReason, State
from tests.factories import make_conversations
from tests.fakes.fixtures import FakeLLM

from .harness import Workers, wait_until
from .runs import TESTS, agent_of, done, is_over, run_of, start_run, states

pytestmark = [pytest.mark.django_db(transaction=True)]

LATENCY = 0.1


def first_analyses(fake: FakeLLM, count: int) -> None:
    """Queue the first analyses of so many calls."""
    made = make_conversations(agent_of(fake), count)
    request_first(conversation_ids=[c.pk for c in made])
    send("analysis.run_queue", queue=None, kwargs={"priority": Priority.LIVE.value})


def all_succeeded() -> bool:
    """every conversation has its result"""
    return not Conversation.objects.exclude(analysis_state="succeeded").exists()


def test_an_outage_of_seconds_needs_nobody(fake_llm: FakeLLM, workers: Workers) -> None:
    """15 seconds: longer than the patience of one request."""
    fake_llm.set(latency=LATENCY)
    workers.start()
    run = run_of(fake_llm, 200)
    wait_until(lambda: done(run) >= 10, every=0.05)
    fake_llm.set(down_for=15)
    first_analyses(fake_llm, 20)
    began = time.monotonic()
    wait_until(lambda: is_over(run) and all_succeeded(), timeout=120)
    assert time.monotonic() - began > 10
    assert run.state == State.COMPLETED
    assert states(run) == {"done": 200}
    assert not Analysis.objects.exclude(state="succeeded").exists()


@pytest.mark.slow
def test_ten_minutes_of_outage_need_nobody(fake_llm: FakeLLM, workers: Workers) -> None:
    """At an eighth of the time: every pause of the recovery is a multiple of its first one."""
    shorter = 8
    fake_llm.set(latency=LATENCY)
    workers.environment = {"TEST_RECOVERY_SECONDS": str(settings.RECOVERY_SECONDS / shorter)}
    workers.start()
    run = run_of(fake_llm, 200)
    wait_until(lambda: done(run) >= 10, every=0.05)
    fake_llm.set(down_for=600 / shorter)
    first_analyses(fake_llm, 20)
    wait_until(lambda: is_over(run) and all_succeeded(), timeout=1_500 / shorter)
    assert states(run) == {"done": 200}
    assert run.probes >= 5
    assert not Analysis.objects.exclude(state="succeeded").exists()


def test_a_rate_limit_is_found_and_fails_nothing(fake_llm: FakeLLM, workers: Workers) -> None:
    """Ten times the slow test's limit: the same course in a tenth of the time."""
    fake_llm.set(latency=LATENCY, per_second=30)
    for _ in range(2):
        workers.start()
    run = run_of(fake_llm, 300)
    wait_until(lambda: is_over(run), timeout=120)
    assert states(run) == {"done": 300}
    assert fake_llm.stats()["outcomes"].get("429", 0) <= 45
    assert not Analysis.objects.exclude(state="succeeded").exists()


@pytest.mark.slow
def test_three_requests_per_second_and_a_run_of_300(fake_llm: FakeLLM, workers: Workers) -> None:
    fake_llm.set(latency=LATENCY, per_second=3)
    for _ in range(2):
        workers.start()
    run = run_of(fake_llm, 300)
    wait_until(lambda: is_over(run), timeout=400)
    assert states(run) == {"done": 300}
    assert fake_llm.stats()["outcomes"].get("429", 0) <= 45


def test_a_provider_that_limits_everything_pauses_and_resumes(
    fake_llm: FakeLLM, workers: Workers
) -> None:
    fake_llm.set(latency=LATENCY, always="429_retry_after:1")
    workers.environment = {"TEST_LIMIT_PATIENCE_SECONDS": "3"}
    workers.start()
    run = run_of(fake_llm, 60)

    def paused() -> bool:
        """the run is paused and nothing of it is under way"""
        run.refresh_from_db()
        return run.state == State.PAUSED and not run.items.filter(state="running").exists()

    wait_until(paused, every=0.02)
    assert run.reason == PauseReason.RATE_LIMITED
    assert states(run) == {"pending": 60}
    assert fake_llm.total < 40
    fake_llm.always("ok")
    wait_until(lambda: is_over(run), timeout=90)
    assert states(run) == {"done": 60}


def test_moderation_of_one_transcript_fails_that_item_alone(
    fake_llm: FakeLLM, workers: Workers
) -> None:
    """A 403 about one input is no refused key: 59 done, 1 failed, completed."""
    fake_llm.set(latency=LATENCY)
    make_conversations(agent_of(fake_llm), 60)
    flagged = Transcript.objects.order_by("pk")[30]
    flagged.messages[-1]["content"] += " [[fake:403_moderation]]"
    flagged.save()
    run = start_run()
    workers.start()
    wait_until(lambda: is_over(run), timeout=60)
    assert run.state == State.COMPLETED
    assert states(run) == {"done": 59, "failed": 1}
    failed = run.items.get(state="failed")
    assert failed.conversation_id == flagged.conversation_id
    assert failed.error_code == "content_filter"
    assert fake_llm.stats()["outcomes"]["403_moderation"] == 1


def test_a_refused_key_waits_for_one_click(fake_llm: FakeLLM, workers: Workers) -> None:
    fake_llm.set(latency=LATENCY)
    workers.start()
    run = run_of(fake_llm, 60)
    wait_until(lambda: done(run) >= 10, every=0.02)
    fake_llm.set(key="another")

    def paused() -> bool:
        """the run is paused"""
        run.refresh_from_db()
        return run.state == State.PAUSED

    wait_until(paused)
    assert (run.reason, run.resume_at) == (PauseReason.AUTH, None)
    fake_llm.set(key=None)
    until = time.monotonic() + 4
    wait_until(lambda: time.monotonic() > until)
    assert paused(), "nobody but a person goes on"
    resume(run=run, by=TESTS)
    wait_until(lambda: is_over(run))
    assert states(run) == {"done": 60}


def test_a_cancel_gives_up_requests_that_stay_silent(fake_llm: FakeLLM, workers: Workers) -> None:
    fake_llm.set(always="hang:60")
    workers.start()
    run = run_of(fake_llm, 20)
    wait_until(lambda: fake_llm.total >= 4, every=0.05)
    cancel(run=run, by=TESTS)
    began = time.monotonic()
    wait_until(lambda: is_over(run), timeout=40)
    assert time.monotonic() - began < 30
    assert states(run) == {"skipped": 20}

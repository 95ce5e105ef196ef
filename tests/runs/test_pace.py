"""How long a run is said to take: by tokens per second of successes, and the share it gets."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.analysis.estimates import Estimate
from apps.analysis.models import Analysis, State
from apps.llm.models import LanguageModel
from apps.llm.services import bundled_model
from apps.llm.specs import ANY_SERVER, BUNDLED_SERVER
from apps.runs import services
from apps.runs.lanes import expected_seconds
from apps.runs.models import Run
from apps.runs.models import State as RunState
from apps.runs.options import Options
from apps.runs.progress import progress_of
from tests.factories import make_agent, make_conversation, make_conversations, make_model

pytestmark = pytest.mark.django_db

BY = Actor.system("tests")


def load(conversations: int, tokens: int = 1_000) -> Estimate:
    return Estimate(conversations, conversations * tokens, 0, Decimal(0))


def seen(agent: Agent, count: int, *, ms: int, tokens: int = 1_000, **values: Any) -> None:
    """Analyses that this agent's model has made."""
    version = agent.versions.get()
    for _ in range(count):
        Analysis.objects.create(
            conversation=make_conversation(agent),
            config=version.config,
            agent_version=version,
            trigger="backfill",
            requested_by="tests",
            **{
                "state": State.SUCCEEDED,
                "model": version.config.model.name,
                "latency_ms": ms,
                "input_tokens": tokens - 50,
                "output_tokens": 50,
            }
            | values,
        )


def model_of(agent: Agent) -> LanguageModel:
    return agent.versions.get().config.model


def test_a_backfill_gets_its_share_of_the_models_slots() -> None:
    agent = make_agent(model=make_model(max_concurrency=2))
    seen(agent, 5, ms=10_000)
    assert expected_seconds([(model_of(agent), load(100))]) == pytest.approx(1_000)
    agent = make_agent(model=make_model(max_concurrency=10))
    seen(agent, 5, ms=10_000)
    assert expected_seconds([(model_of(agent), load(80))]) == pytest.approx(100)


def test_longer_transcripts_take_longer() -> None:
    agent = make_agent(model=make_model(max_concurrency=1))
    seen(agent, 5, ms=2_000, tokens=1_000)
    assert expected_seconds([(model_of(agent), load(10, tokens=4_000))]) == pytest.approx(80)


def test_failures_are_no_speed() -> None:
    agent = make_agent(model=make_model(max_concurrency=1))
    seen(agent, 5, ms=4_000)
    before = expected_seconds([(model_of(agent), load(10))])
    failed: dict[str, Any] = {
        "state": State.FAILED,
        "error_code": "transcript_too_long",
        "input_tokens": 0,
    }
    seen(agent, 50, ms=1, **failed)
    assert expected_seconds([(model_of(agent), load(10))]) == pytest.approx(before)


def test_limits_per_minute_count() -> None:
    model = make_model(requests_per_minute=60)
    assert expected_seconds([(model, load(480))]) == pytest.approx(540)
    model = make_model(tokens_per_minute=100_000)
    assert expected_seconds([(model, load(800))]) == pytest.approx(540)


def test_models_work_beside_each_other() -> None:
    slow, fast = (make_agent(model=make_model(max_concurrency=1)) for _ in range(2))
    seen(slow, 3, ms=10_000)
    seen(fast, 3, ms=1_000)
    loads = [(model_of(slow), load(10)), (model_of(fast), load(10))]
    assert expected_seconds(loads) == pytest.approx(100)


def test_a_model_that_was_never_seen_and_nothing_at_all() -> None:
    assert expected_seconds([(make_model(), load(1))]) == ANY_SERVER.seconds_per_answer
    assert expected_seconds([]) == 0.0
    assert expected_seconds([(make_model(), load(0))]) == 0.0


def test_the_bundled_model_is_known_to_be_slow_before_it_was_seen() -> None:
    model = bundled_model()
    model.save()
    expected = expected_seconds([(model, load(74))])
    assert expected == pytest.approx(74 * BUNDLED_SERVER.seconds_per_answer)


def test_the_first_answer_of_the_bundled_model_is_no_speed() -> None:
    model = bundled_model()
    model.save()
    agent = make_agent(model=model)
    seen(agent, 1, ms=19_000)
    guessed = expected_seconds([(model, load(10))])
    assert guessed == pytest.approx(10 * BUNDLED_SERVER.seconds_per_answer)
    seen(agent, 4, ms=5_000, cached_tokens=600)
    assert expected_seconds([(model, load(10))]) == pytest.approx(50)


def running(seconds: float, *, total: int, expected: float) -> Run:
    """A run that began so many seconds ago."""
    make_conversations(make_agent(), total)
    run = services.start(channel="voice", params={}, options=Options(), by=BY)
    run.state, run.started_at = RunState.RUNNING, timezone.now() - timedelta(seconds=seconds)
    run.estimate = {**run.estimate, "seconds": expected}
    run.save()
    return run


def finish(run: Run, count: int, *, every: float, **values: Any) -> None:
    """Let items end, one each so many seconds, the last one now."""
    now = timezone.now()
    waiting = run.items.filter(state="pending").values_list("pk", flat=True)
    for number, pk in enumerate(list(waiting)[:count]):
        run.items.filter(pk=pk).update(
            **{"state": "done", "changed": False, "input_tokens": 100} | values,
            finished_at=now - timedelta(seconds=every * number),
        )


def test_the_time_left_begins_with_what_was_announced() -> None:
    run = running(2, total=100, expected=1_000)
    left = progress_of(run).seconds_left
    assert left == pytest.approx(1_000, rel=0.3)
    finish(run, 1, every=1)
    assert progress_of(run).seconds_left == pytest.approx(1_000, rel=0.3)


def test_the_time_left_of_a_slow_model_does_not_jump() -> None:
    """One answer each ten seconds: the window of fifteen seconds holds one or two of them."""
    run = running(250, total=125, expected=1_000)
    finish(run, 24, every=10)
    assert progress_of(run).seconds_left == pytest.approx(1_010, rel=0.3)


def test_failures_do_not_make_a_run_look_fast() -> None:
    run = running(100, total=200, expected=1_000)
    finish(run, 20, every=5)
    before = progress_of(run).rate
    finish(run, 100, every=0.1, state="failed", changed=None, error_code="timeout")
    assert progress_of(run).rate == pytest.approx(before, rel=0.05)


def test_a_run_that_stands_still_has_no_rate() -> None:
    run = running(100, total=20, expected=100)
    finish(run, 10, every=1)
    run.state = RunState.PAUSED
    run.save()
    assert progress_of(run).rate == 0
    assert progress_of(run).seconds_left is None

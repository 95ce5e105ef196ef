"""What people and providers do to a run that is under way, with a real worker."""

import time
from dataclasses import dataclass
from typing import Any

import pytest
from django.db.models import F

from apps.agents.documents import categories
from apps.agents.services import save_draft
from apps.analysis.models import Analysis
from apps.analysis.models import State as AnalysisState
from apps.analysis.services import AlreadyRunning, request_rerun
from apps.conversations.models import Conversation
from apps.llm.models import Usage
from apps.runs.control import cancel, resume
from apps.runs.models import PauseReason, Run, State
from apps.runs.options import Options
from apps.runs.preview import make_preview
from apps.runs.progress import progress_of
from tests.factories import make_conversations
from tests.fakes.fixtures import FakeLLM

from .harness import Workers, wait_until
from .runs import (
    TESTS,
    agent_of,
    assert_consistent,
    assert_whole,
    done,
    is_over,
    run_of,
    start_run,
    states,
)

pytestmark = [pytest.mark.django_db(transaction=True)]

IN_FLIGHT = 8


@pytest.fixture(autouse=True)
def _one_worker(fake_llm: FakeLLM, workers: Workers) -> None:
    """A worker that needs about three seconds for a hundred items."""
    fake_llm.set(latency=0.25, record=1_000)
    workers.concurrency = IN_FLIGHT
    workers.start()


def test_a_draft_edited_in_mid_run_changes_nothing_in_it(fake_llm: FakeLLM) -> None:
    agent = agent_of(fake_llm)
    make_conversations(agent, 80)
    run = start_run()
    frozen = agent.versions.drafts().get().config
    assert frozen is not None
    wait_until(lambda: done(run) >= 16)

    name = categories(agent.channel)[0].name
    changes = {"analysis": {"built_ins": {name: {"prompt": "Say moo."}}}}
    save_draft(agent=agent, changes=changes, by=TESTS)
    assert agent.versions.drafts().get().config_id != frozen.pk
    assert run.items.unfinished().count() > 2 * IN_FLIGHT

    wait_until(lambda: is_over(run))
    assert_whole(run, fake_llm, items=80)
    assert {body["messages"][0]["content"] for body in fake_llm.bodies} == {
        fake_llm.bodies[0]["messages"][0]["content"]
    }
    assert "Say moo." not in str(fake_llm.bodies)
    results = Analysis.objects.filter(backfill_public_id=run.public_id)
    assert set(results.values_list("config_id", flat=True)) == {frozen.pk}
    assert set(Conversation.objects.values_list("analysis_config_id", flat=True)) == {frozen.pk}
    # The next backfill sees that they were read with other prompts than the draft's.
    assert make_preview(channel="voice", params={}, options=Options()).to_analyze == 80


@dataclass(frozen=True)
class Refusal:
    """How a provider refuses all requests, how it takes them again, and how a run pauses."""

    fault: dict[str, Any]
    mended: dict[str, Any]
    reason: PauseReason
    words: str


REFUSALS = {
    "401": Refusal(
        {"key": "another"}, {"key": None}, PauseReason.AUTH, "Incorrect API key provided."
    ),
    "quota": Refusal(
        {"quota_after": 20},
        {"quota_after": None},
        PauseReason.QUOTA,
        "You exceeded your current quota",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_a_provider_that_refuses_to_go_on_pauses_the_run(
    refusal: Refusal, fake_llm: FakeLLM
) -> None:
    refuse_and_resume(refusal, fake_llm, items=60, most=2 * IN_FLIGHT)


@pytest.mark.slow
@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_two_workers_pause_and_resume_a_run_that_is_refused(
    refusal: Refusal, fake_llm: FakeLLM, workers: Workers
) -> None:
    workers.start()
    # Both take part: none of them alone has so many in flight.
    fake_llm.set(latency=1.0)
    refuse_and_resume(refusal, fake_llm, items=160, most=2 * 2 * IN_FLIGHT)
    assert fake_llm.stats()["peak"] > IN_FLIGHT


def refuse_and_resume(refusal: Refusal, fake: FakeLLM, *, items: int, most: int) -> None:
    """Pause a run by a refusal in mid-run, and resume it once the provider takes requests.

    At most so many requests are refused: those in flight, and those claimed for the slots that
    they freed.
    """
    run = run_of(fake, items)
    wait_until(lambda: done(run) >= 12, every=0.02, timeout=120)
    fake.set(**refusal.fault)

    def paused() -> bool:
        """the run is paused and nothing of it is under way"""
        run.refresh_from_db()
        return run.state == State.PAUSED and not run.items.filter(state="running").exists()

    wait_until(paused)
    assert run.reason == refusal.reason
    assert refusal.words in run.reason_detail
    before = states(run)
    assert set(before) == {"done", "pending"}
    assert before["done"] >= 12
    assert Analysis.objects.open().count() == 0

    asked = fake.total
    wait_until(_after(1.5))
    assert fake.total == asked
    assert states(run) == before

    fake.set(**refusal.mended)
    resume(run=run, by=TESTS)
    wait_until(lambda: is_over(run), timeout=120)
    refused = asked - before["done"]
    assert 0 < refused <= most
    assert_whole(run, fake, items=items, repeated=refused)
    assert (run.reason, run.reason_detail) == ("", "")


def test_cancelling_in_mid_run_records_what_was_sent_and_skips_the_rest(
    fake_llm: FakeLLM,
) -> None:
    run = run_of(fake_llm, 100)
    wait_until(lambda: done(run) >= 16)
    cancel(run=run, by=TESTS)
    assert run.state == State.CANCELLING
    wait_until(lambda: is_over(run))
    assert run.state == State.CANCELLED
    assert run.finished_at is not None

    sent = fake_llm.total
    assert states(run) == {"done": sent, "skipped": 100 - sent}
    assert 16 <= sent < 100
    assert Usage.objects.count() == sent
    assert_consistent(current=sent)
    progress = progress_of(run)
    assert (progress.finished, progress.left, progress.running) == (100, 0, 0)
    skipped = run.items.filter(state__in=run.stored_states("skipped")).values("conversation")
    assert not Analysis.objects.filter(conversation__in=skipped).exists()


def test_two_runs_at_once_share_the_worker_and_both_finish(fake_llm: FakeLLM) -> None:
    calls = run_of(fake_llm, 60)
    chats = run_of(fake_llm, 60, channel="chat")
    wait_until(lambda: is_over(calls) and is_over(chats))
    assert calls.state == chats.state == State.COMPLETED
    assert states(calls) == states(chats) == {"done": 60}
    assert fake_llm.total == 120
    assert_consistent(current=120)
    for one, other in ((calls, chats), (chats, calls)):
        assert other.finished_at is not None
        first = one.items.order_by("finished_at")[0].finished_at
        assert first is not None
        assert first < other.finished_at, "one waited until the other had ended"


def test_a_rerun_need_not_wait_for_the_backfill_which_then_finds_it_done(
    fake_llm: FakeLLM,
) -> None:
    run = run_of(fake_llm, 150)
    wait_until(lambda: done(run) >= 8)
    fake_llm.set(latency=3.0)  # what is claimed from now on is still running at the next line
    newest = run.items.order_by("-pk").select_related("conversation")
    before = newest.filter(state="running")[0].pk
    wait_until(newest.filter(state="running", pk__gt=before).exists)
    at_work = newest.filter(state="running")[0]
    assert at_work.conversation
    with pytest.raises(AlreadyRunning):
        request_rerun(conversation=at_work.conversation, by=TESTS)
    fake_llm.set(latency=0.25)
    last = run.items.select_related("conversation").order_by("pk").last()
    assert last is not None
    assert last.conversation
    assert last.state == "pending"

    rerun = request_rerun(conversation=last.conversation, by=TESTS)

    def answered() -> bool:
        """the rerun has its result"""
        rerun.refresh_from_db()
        return rerun.is_final

    wait_until(answered, every=0.05)
    assert rerun.state == AnalysisState.SUCCEEDED
    assert run.items.unfinished().count() > 2 * IN_FLIGHT
    last.refresh_from_db()
    assert last.state == "pending"

    wait_until(lambda: is_over(run))
    assert_whole(run, fake_llm, items=150)
    last.refresh_from_db()
    assert (last.analysis_id, last.changed, last.cost) == (rerun.pk, False, None)
    others = run.items.exclude(pk=last.pk)
    assert not others.exclude(analysis__backfill_public_id=run.public_id).exists()
    assert not others.exclude(conversation=F("analysis__conversation")).exists()
    assert Run.objects.get().total == 150


def _after(seconds: float) -> Any:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() >= until

"""What the backfill lane gives out, and how items follow their analyses."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.analysis import record
from apps.analysis.claims import AnalysisJob
from apps.analysis.model_call import AnalysisOutcome
from apps.analysis.models import Analysis
from apps.analysis.services import request_rerun
from apps.conversations.models import Conversation
from apps.llm.models import Usage
from apps.llm.specs import TokenUsage
from apps.runs import control, services
from apps.runs.backfill_queue import BackfillQueue
from apps.runs.models import Run, State
from apps.runs.options import Options
from apps.runs.progress import progress_of
from apps.work.queue import MAX_ATTEMPTS
from tests.factories import make_agent, make_conversation, make_conversations

pytestmark = [pytest.mark.django_db]

BY = Actor.system("tests")


@pytest.fixture
def agent() -> Agent:
    return make_agent()


@pytest.fixture
def source() -> BackfillQueue:
    return BackfillQueue()


def start(*, include_analyzed: bool = False) -> Run:
    options = Options(include_analyzed=include_analyzed)
    return services.start(channel="voice", params={}, options=options, by=BY)


def good(job: AnalysisJob, summary: str = "Short.") -> AnalysisOutcome:
    return AnalysisOutcome(
        job,
        output={"call_summary": summary, "call_successful": True, "user_sentiment": "Neutral"},
        usage=TokenUsage(1000, 0, 50),
        requests=1,
    )


def test_claims_record_and_close_the_run(agent: Agent, source: BackfillQueue) -> None:
    make_conversations(agent, 3)
    run = start()
    jobs = source.claim(10)
    assert [job.backfill_id for job in jobs] == [run.pk] * 3
    assert source.claim(10) == []
    failed = AnalysisOutcome(jobs[2], error_code="refusal", error_message="No.", requests=1)
    record.record([good(jobs[0]), good(jobs[1]), failed], settle=source.settle)
    source.finished()
    run.refresh_from_db()
    assert run.state == State.COMPLETED
    counts = progress_of(run).counts()
    assert counts == {
        "total": 3,
        "done": 2,
        "changed": 2,
        "unchanged": 0,
        "skipped": 0,
        "failed": 1,
        "running": 0,
        "pending": 0,
    }
    assert Usage.objects.filter(backfill_id=run.public_id).count() == 3
    assert Conversation.objects.get(pk=jobs[0].conversation_id).summary == "Short."


def test_runs_are_taken_in_turn(source: BackfillQueue) -> None:
    first, second = make_agent(), make_agent()
    make_conversations(first, 50)
    make_conversations(second, 50)
    runs = [
        services.start(channel="voice", params={"agent": [a.public_id]}, options=Options(), by=BY)
        for a in (first, second)
    ]
    jobs = source.claim(10)
    assert [sum(job.backfill_id == run.pk for job in jobs) for run in runs] == [5, 5]


def test_a_dead_workers_items_are_taken_again(agent: Agent, source: BackfillQueue) -> None:
    make_conversations(agent, 2)
    start()
    lost = source.claim(10)
    Analysis.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    again = source.claim(10)
    assert {j.analysis_id for j in again} == {j.analysis_id for j in lost}
    record.record([good(lost[0], "From the dead.")], settle=source.settle)
    assert Analysis.objects.current().count() == 0  # its lease is gone: only the ledger knows
    record.record([good(job) for job in again], settle=source.settle)
    assert set(Conversation.objects.values_list("summary", flat=True)) == {"Short."}
    assert Usage.objects.count() == 3


def test_recording_the_same_outcome_twice_is_recorded_once(
    agent: Agent, source: BackfillQueue
) -> None:
    make_conversations(agent, 1)
    start()
    [job] = source.claim(10)
    record.record([good(job)], settle=source.settle)
    record.record([good(job, "Again.")], settle=source.settle)
    assert Usage.objects.count() == 1
    assert Conversation.objects.get().summary == "Short."


def test_an_item_that_kills_every_worker_fails(agent: Agent, source: BackfillQueue) -> None:
    make_conversations(agent, 1)
    run = start()
    for _ in range(MAX_ATTEMPTS):
        assert source.claim(10)
        Analysis.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert source.claim(10) == []
    source.finished()
    item = run.items.get()
    assert (item.state, item.error_code) == ("failed", "internal")
    assert Run.objects.get().state == State.COMPLETED


def test_what_was_handed_back_waits_again(agent: Agent, source: BackfillQueue) -> None:
    make_conversations(agent, 2)
    run = start()
    source.hand_back(source.claim(10))
    assert not Analysis.objects.exists()
    assert run.items.filter(state="pending", analysis=None).count() == 2
    assert len(source.claim(10)) == 2


def test_a_conversation_rerun_meanwhile_is_done_without_paying(
    agent: Agent, source: BackfillQueue
) -> None:
    conversation = make_conversation(agent)
    run = start()
    rerun = request_rerun(conversation=conversation, by=BY)
    assert source.claim(10) == []  # the rerun is at work: the item waits
    assert run.items.get().not_before is not None
    from apps.analysis.queues import RerunQueue

    queue = RerunQueue()
    record.record([good(job) for job in queue.claim(10)], settle=queue.settle)
    run.items.update(not_before=None)
    assert source.claim(10) == []
    item = run.items.get()
    assert (item.state, item.changed, item.analysis_id) == ("done", False, rerun.pk)


def test_a_refused_key_pauses_the_run(agent: Agent, source: BackfillQueue) -> None:
    make_conversations(agent, 2)
    run = start()
    [one, two] = source.claim(10)
    assert source.pause(AnalysisOutcome(one, pause="auth", error_message="Incorrect API key."))
    source.hand_back([one, two])
    run.refresh_from_db()
    assert (run.state, run.reason, run.reason_detail) == ("paused", "auth", "Incorrect API key.")
    assert set(run.items.values_list("state", flat=True)) == {"pending"}


def test_a_run_cancelled_while_its_worker_died_still_ends(
    agent: Agent, source: BackfillQueue
) -> None:
    make_conversations(agent, 2)
    run = start()
    source.claim(1)
    control.cancel(run=run, by=BY)
    assert Run.objects.get().state == State.CANCELLING
    Analysis.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    source.finished()
    assert Run.objects.get().state == State.CANCELLED
    assert progress_of(Run.objects.get()).skipped == 2


def test_estimates_learn_from_a_run_that_ended(agent: Agent, source: BackfillQueue) -> None:
    make_conversations(agent, 3)
    start()
    record.record([good(job) for job in source.claim(10)], settle=source.settle)
    model = agent.versions.get().config.model
    assert model.token_correction == 1.0
    source.finished()
    model.refresh_from_db()
    assert model.token_correction > 1.05  # 1,000 tokens were counted, some 500 expected


def test_changed_is_by_value(agent: Agent, source: BackfillQueue) -> None:
    make_conversations(agent, 1)
    start()
    record.record([good(j) for j in source.claim(9)], settle=source.settle)
    run = start(include_analyzed=True)
    record.record([good(j) for j in source.claim(9)], settle=source.settle)
    assert run.items.get().changed is False
    run = start(include_analyzed=True)
    record.record([good(j, "Other.") for j in source.claim(9)], settle=source.settle)
    item = run.items.get()
    assert item.changed is True
    assert item.previous_analysis is not None

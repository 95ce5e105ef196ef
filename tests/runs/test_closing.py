"""How runs end while somebody else changes them."""

import pytest
from django.db import transaction

from apps.accounts.actors import Actor
from apps.analysis import record
from apps.analysis.claims import AnalysisJob
from apps.analysis.model_call import AnalysisOutcome
from apps.conversations.models import Conversation
from apps.llm.specs import TokenUsage
from apps.runs import control, services
from apps.runs.backfill_queue import BackfillQueue
from apps.runs.closing import close_finished
from apps.runs.models import Run, State
from apps.runs.options import Options
from apps.runs.progress import progress_of
from tests.factories import make_agent, make_conversations
from tests.locks import Writer

pytestmark = [pytest.mark.django_db(transaction=True)]

BY = Actor.system("tests")
SOURCE = BackfillQueue()


def a_run(items: int = 1) -> Run:
    make_conversations(make_agent(), items)
    return services.start(channel="voice", params={}, options=Options(), by=BY)


def failed(job: AnalysisJob) -> AnalysisOutcome:
    usage = TokenUsage(1_000, 0, 10)
    return AnalysisOutcome(job, error_code="refusal", error_message="No.", usage=usage, requests=1)


def good(job: AnalysisJob) -> AnalysisOutcome:
    output = {"call_summary": "Short."}
    return AnalysisOutcome(job, output=output, usage=TokenUsage(1_000, 0, 10), requests=1)


def test_a_run_is_not_closed_over_items_that_are_queued_again() -> None:
    run = a_run()
    record.record([failed(job) for job in SOURCE.claim(1)], settle=SOURCE.settle)
    with transaction.atomic():
        control.retry_failed(run=run, by=BY)
        closing = Writer(close_finished)
        closing.join()
    close_finished()
    run.refresh_from_db()
    assert run.state == State.RUNNING
    assert len(SOURCE.claim(1)) == 1


def test_a_paused_run_with_nothing_left_is_completed() -> None:
    run = a_run()
    jobs = SOURCE.claim(1)
    control.pause(run=run, by=BY)
    record.record([good(job) for job in jobs], settle=SOURCE.settle)
    close_finished()
    run.refresh_from_db()
    assert (run.state, run.reason) == (State.COMPLETED, "")


def test_what_a_failed_try_cost_stays_in_the_sum() -> None:
    run = a_run()
    record.record([failed(job) for job in SOURCE.claim(1)], settle=SOURCE.settle)
    once = progress_of(run)
    control.retry_failed(run=run, by=BY)
    record.record([good(job) for job in SOURCE.claim(1)], settle=SOURCE.settle)
    both = progress_of(run)
    assert once.cost
    assert both.cost == 2 * once.cost
    assert both.input_tokens == 2_000


def test_a_result_that_is_just_being_written_is_not_paid_for_again() -> None:
    """Two runs hold the same conversation: the second waits for what the first one records."""
    first = a_run()
    [job] = SOURCE.claim(1)
    second = services.start(channel="voice", params={}, options=Options(), by=BY)
    claimed: list[AnalysisJob] = []
    with transaction.atomic():
        record.record([good(job)], settle=SOURCE.settle)
        claiming = Writer(lambda: claimed.extend(SOURCE.claim(5)))
        claiming.join()
    assert claimed == []
    assert SOURCE.claim(5) == []
    assert Conversation.objects.get().analyses.count() == 1
    assert set(first.items.values_list("state", flat=True)) == {"done"}
    assert set(second.items.values_list("state", flat=True)) == {"done"}

"""Many failed items are queued again by a worker, while the run goes on."""

import pytest
from django.utils import timezone

from apps.accounts.models import AuditEntry, Role
from apps.runs import control, freezing
from apps.runs.backfill_queue import BackfillQueue
from apps.runs.closing import close_finished
from apps.runs.models import Run, State
from tests.factories import client_as, make_agent, make_conversations

from .completed import BY, backfill

pytestmark = [pytest.mark.django_db(transaction=True)]

FAILED, HOPELESS = 7, 1


@pytest.fixture(autouse=True)
def batches_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "RETRY_BATCH", 3)


@pytest.fixture
def run() -> Run:
    """A completed backfill with one result and more failures."""
    make_conversations(make_agent(), 1 + FAILED + HOPELESS)
    failures = ["timeout"] * FAILED + ["transcript_too_long"] * HOPELESS
    return backfill([{"call_summary": "New."}, *failures])


def failed(run: Run) -> int:
    return run.items.failed().count()


def refreshed(run: Run) -> Run:
    return Run.objects.get(pk=run.pk)


def test_the_click_is_answered_before_items_are_queued(run: Run) -> None:
    assert control.retry_failed(run=run, by=BY, only_hopeful=True) == FAILED
    assert (run.state, run.finished_at, run.retried) == (State.RUNNING, None, FAILED)
    assert failed(run) == FAILED + HOPELESS
    close_finished()
    assert refreshed(run).state == State.RUNNING

    freezing.run_freezing(seconds=600)
    assert refreshed(run).retry_without is None
    assert (failed(run), run.items.filter(state="pending").count()) == (HOPELESS, FAILED)
    assert len(BackfillQueue().claim(20)) == FAILED
    entry = AuditEntry.objects.get(verb="backfill.retried")
    assert entry.detail == {"items": FAILED}


def test_a_second_click_queues_nothing_twice(run: Run) -> None:
    control.retry_failed(run=run, by=BY)
    with pytest.raises(control.UnableToChange, match="are being queued again"):
        control.retry_failed(run=run, by=BY)
    page = client_as(Role.OPERATOR).get(f"/backfills/{run.public_id}/").content.decode()
    assert "Queuing failed items again." in page
    assert "/retry-failed/" not in page


def test_what_fails_once_more_stays_failed(run: Run) -> None:
    control.retry_failed(run=run, by=BY)
    assert control.retry_batch(run)
    again = run.items.filter(state="pending")
    assert again.count() == 3
    again.update(state="failed", error_code="timeout", finished_at=timezone.now())
    freezing.run_freezing(seconds=600)
    assert failed(run) == 3


def test_a_canceled_run_queues_no_more(run: Run) -> None:
    control.retry_failed(run=run, by=BY)
    assert control.retry_batch(run)
    control.cancel(run=run, by=BY)
    assert not control.retry_batch(run)
    close_finished()
    assert (refreshed(run).state, refreshed(run).retry_without) == (State.CANCELLED, None)
    assert failed(run) == FAILED + HOPELESS - 3


def test_a_paused_run_goes_on_queuing(run: Run) -> None:
    control.retry_failed(run=run, by=BY)
    control.pause(run=run, by=BY)
    freezing.run_freezing(seconds=600)
    assert (refreshed(run).state, failed(run)) == (State.PAUSED, 0)

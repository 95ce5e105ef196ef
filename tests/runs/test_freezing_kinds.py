"""Long lists of runs that ask no model, and lists that two workers write at a time."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from apps.accounts.actors import Actor
from apps.accounts.models import Role
from apps.analysis.imports import Imported, record_imported
from apps.conversations.models import Conversation
from apps.core.database import TooSlow
from apps.runs import batches, control, freezing, services, starting
from apps.runs.closing import close_finished
from apps.runs.derived.services import start_recompute
from apps.runs.derived.work import preview_recompute
from apps.runs.mappings.services import start_mapping_run
from apps.runs.mappings.work import preview_mappings
from apps.runs.models import Run, State
from apps.runs.options import Options
from apps.runs.rollbacks.services import start_rollback, token_for
from apps.runs.rollbacks.work import Selection, preview_rollback
from tests.api.conftest import Caller
from tests.factories import (
    client_as,
    make_agent,
    make_contact,
    make_conversation,
    make_conversations,
    make_derived_field,
    make_draft,
)
from tests.factories.derived import PROPERTIES
from tests.locks import Writer

from .completed import BY, backfill

pytestmark = [pytest.mark.django_db(transaction=True)]

MANY = 10
Start = Callable[[], Run]


@pytest.fixture(autouse=True)
def batches_of_three(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(starting, "AT_ONCE", 2)
    settings.FREEZE_BATCH = 3


def results() -> None:
    """Calls of one contact, each with a result."""
    found = make_conversations(make_draft(properties=PROPERTIES).agent, MANY)
    Conversation.objects.update(contact=make_contact())
    record_imported([Imported(one, {"score": 10, "greeting": True}) for one in found], by=BY)


def start_mapping() -> Run:
    results()
    token = preview_mappings("voice", {}).token
    return start_mapping_run(channel="voice", params={}, by=BY, token=token)


def start_derived() -> Run:
    results()
    field = make_derived_field()
    return start_recompute(field=field, by=BY, token=preview_recompute(field).token)


def start_undoing() -> Run:
    make_conversations(make_agent(), MANY)
    selection = Selection(backfill([{"call_summary": "New."}] * MANY))
    token = token_for(preview_rollback(selection))
    return start_rollback(selection=selection, by=BY, token=token)


KINDS = [start_mapping, start_derived, start_undoing]


def refreshed(run: Run) -> Run:
    return Run.objects.get(pk=run.pk)


@pytest.mark.parametrize("start", KINDS)
def test_a_long_list_is_written_in_batches_and_then_worked(start: Start) -> None:
    run = start()
    assert (run.state, run.freezing, run.total, run.items.count()) == ("queued", True, MANY, 0)
    assert freezing.freeze_batch(run)
    assert refreshed(run).frozen == run.items.count() > 0
    batches.run_batches(seconds=600)
    close_finished()
    assert refreshed(run).state == State.QUEUED
    assert not run.items.exclude(state="pending").exists()

    freezing.run_freezing(seconds=600)
    batches.run_batches(seconds=600)
    run = refreshed(run)
    assert (run.state, run.freezing, run.total) == (State.COMPLETED, False, MANY)
    done = run.items.filter(state="done").values_list("conversation", flat=True)
    assert sorted(done) == sorted(Conversation.objects.values_list("pk", flat=True))


@pytest.mark.parametrize("start", KINDS)
def test_a_run_canceled_while_freezing_changes_nothing(start: Start) -> None:
    run = start()
    freezing.freeze_batch(run)
    control.cancel(run=run, by=BY)
    assert not freezing.freeze_batch(run)
    close_finished()
    batches.run_batches(seconds=600)
    assert (refreshed(run).state, refreshed(run).freezing) == (State.CANCELLED, False)
    assert not run.items.exclude(state="pending").exists()


@pytest.mark.parametrize("start", KINDS)
def test_a_paused_run_goes_on_freezing_and_waits(start: Start) -> None:
    run = start()
    control.pause(run=run, by=BY)
    freezing.run_freezing(seconds=600)
    batches.run_batches(seconds=600)
    assert (refreshed(run).state, run.items.filter(state="pending").count()) == ("paused", MANY)
    control.resume(run=refreshed(run), by=BY)
    batches.run_batches(seconds=600)
    assert refreshed(run).state == State.COMPLETED


@pytest.mark.parametrize("start", KINDS)
def test_a_worker_that_stops_in_a_batch_leaves_nothing_of_it(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start()
    freezing.freeze_batch(run)
    written = run.items.count()

    def stop(_: Run) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(freezing, "_lock", stop)
        with pytest.raises(SystemExit):
            freezing.freeze_batch(run)
    assert refreshed(run).frozen == run.items.count() == written
    freezing.run_freezing(seconds=600)
    assert refreshed(run).total == run.items.count() == MANY


@pytest.mark.parametrize("start", KINDS)
def test_the_click_answers_where_counting_again_takes_too_long(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_slow(*_: object) -> None:
        raise TooSlow

    monkeypatch.setattr(freezing, "time_limit", too_slow)
    run = start()
    assert (run.freezing, run.total) == (True, MANY)
    freezing.run_freezing(seconds=600)
    assert refreshed(run).total == run.items.count() == MANY


@pytest.mark.parametrize("start", KINDS)
def test_a_range_that_takes_too_long_is_written_in_parts(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a bad plan, right after a large import."""
    run = start()
    asked: list[float] = []

    def too_slow(seconds: float) -> None:
        asked.append(seconds)
        raise TooSlow

    monkeypatch.setattr(freezing, "PARTS", 2)
    monkeypatch.setattr(freezing, "time_limit", too_slow)
    freezing.run_freezing(seconds=600)
    assert set(asked) == {freezing.BATCH_SECONDS}
    run = refreshed(run)
    assert (run.freezing, run.total, run.items.count()) == (False, MANY, MANY)
    listed = run.items.values_list("conversation", flat=True)
    assert sorted(listed) == sorted(Conversation.objects.values_list("pk", flat=True))


@pytest.mark.parametrize("start", KINDS)
def test_the_page_and_the_api_show_how_far_the_list_is(start: Start) -> None:
    run = start()
    freezing.freeze_batch(run)
    frozen = refreshed(run).frozen
    page = client_as(Role.OPERATOR).get(f"/backfills/{run.public_id}/").content.decode()
    words = f"{frozen} of {MANY} calls listed. The run starts when the list is complete."
    assert words in " ".join(page.split())
    shown = json.loads(Caller(Role.VIEWER).get(f"/backfills/{run.public_id}").content)
    assert shown["preparing"] == {"done": frozen, "total": MANY}


def start_backfill() -> Run:
    return services.start(channel="voice", params={}, options=Options(), by=BY)


def test_two_workers_write_ranges_in_turn() -> None:
    made = make_conversations(make_agent(), MANY)
    run = start_backfill()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"list 0 of {run.public_id}"]
        )
        other = Writer(lambda: freezing.run_freezing(seconds=600))
        other.join()
    listed = set(run.items.values_list("conversation", flat=True))
    newest = sorted((one.pk for one in made), reverse=True)
    assert listed == {*newest[3:6], *newest[9:]}
    freezing.run_freezing(seconds=600)
    assert set(run.items.values_list("conversation", flat=True)) == set(newest)


def test_two_batches_together_never_write_more_than_was_agreed_to() -> None:
    agent = make_agent()
    make_conversations(agent, 4)
    waiting = [make_conversation(agent, status="ongoing") for _ in range(4)]
    run = start_backfill()
    Conversation.objects.filter(pk__in=[one.pk for one in waiting]).update(status="ended")
    with transaction.atomic():
        Run.objects.select_for_update().get(pk=run.pk)
        writer = Writer(lambda: freezing.freeze_batch(run))
        writer.wait_blocked()
        # Another batch writes all but one item in the meantime.
        Run.objects.filter(pk=run.pk).update(frozen=3)
    writer.join()
    assert run.items.count() == 1
    assert (refreshed(run).frozen, refreshed(run).freezing) == (4, False)


def test_ranges_without_a_row_are_passed_over() -> None:
    made = make_conversations(make_agent(), 20)
    kept = [made[0], *made[-3:]]
    Conversation.objects.exclude(pk__in=[one.pk for one in kept]).delete()
    run = start_backfill()
    steps = 0
    while freezing.freeze_batch(refreshed(run)):
        steps += 1
    assert steps < 5
    assert set(run.items.values_list("conversation", flat=True)) == {one.pk for one in kept}


def test_a_filter_of_a_rollback_holds_while_its_list_is_written() -> None:
    made = make_conversations(make_agent(), MANY)
    undone = backfill([{"call_summary": "New."}] * MANY)
    ids = [one.public_id for one in made[:5]]
    selection = Selection(undone, {"id": ids})
    run = start_rollback(selection=selection, by=Actor.system("tests"))
    assert (run.freezing, run.total) == (True, 5)
    freezing.run_freezing(seconds=600)
    listed = run.items.values_list("conversation__public_id", flat=True)
    assert sorted(listed) == sorted(ids)

"""Rolling back a run: every result as before, and nothing else touched."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry
from apps.analysis import record
from apps.analysis.effects import SideEffects
from apps.analysis.imports import Imported, record_imported, restore
from apps.analysis.model_call import AnalysisOutcome
from apps.analysis.models import Analysis
from apps.analysis.services import request_rerun
from apps.conversations.models import Conversation
from apps.crm.models import Push
from apps.mappings.marked_contacts import fold_marked
from apps.mappings.models import Contribution
from apps.privacy.erasure import erase
from apps.runs import batches, control, starting
from apps.runs.backfill_queue import BackfillQueue
from apps.runs.changes import ChangeFilter
from apps.runs.closing import close_finished
from apps.runs.models import Run, RunItem, State
from apps.runs.rollbacks import services as rollback_services
from apps.runs.rollbacks.work import Selection, preview_rollback, select
from apps.webhooks.models import Event
from tests.factories import (
    make_agent,
    make_connection,
    make_contact,
    make_contact_field,
    make_conversations,
    make_mapping,
)
from tests.runs.completed import backfill
from tests.webhooks.deliveries import endpoint_to

pytestmark = [pytest.mark.django_db(transaction=True)]

BY = Actor.system("tests")
SOURCE = BackfillQueue()
#: The result columns. A restored result was made by a restore, later.
COLUMNS = (
    *("public_id", "analysis_state", "analysis_reason", "summary", "outcome", "successful"),
    *("sentiment", "analysis_data", "analysis_config_id", "analysis_model", "analysis_cost"),
    "stale",
)


def columns() -> list[tuple[Any, ...]]:
    """The result columns and search words of all conversations, as the database has them."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join('c.' + name for name in COLUMNS)}, s.summary_words::text,"
            " c.analysis_data::text FROM conversations_conversation c"
            " LEFT JOIN conversations_searchtext s ON s.conversation_id = c.id ORDER BY c.id"
        )
        return list(cursor.fetchall())


def results(count: int = 4) -> list[Conversation]:
    """Conversations of one agent: the last has no result, the others have one each."""
    agent = make_agent()
    make_conversations(agent, count)
    found = list(Conversation.objects.order_by("pk"))
    record_imported(
        [
            Imported(one, {"call_summary": f"First {one.pk}.", "call_successful": True})
            for one in found[:-1]
        ],
        by=BY,
    )
    return found


def roll_back(run: Run, **filters: Any) -> Run:
    """A finished rollback of a run, or of some of its items."""
    selection = select(run, filters)
    token = rollback_services.token_for(preview_rollback(selection))
    started = rollback_services.start_rollback(selection=selection, by=BY, token=token)
    batches.run_batches(seconds=600)
    started.refresh_from_db()
    return started


def left(run: Run) -> dict[str, int]:
    """Skip reasons of a run's items and how many have each."""
    reasons = [str(item.shown_skip_reason or "") for item in run.items.all()]
    return {why: reasons.count(why) for why in set(reasons) - {""}}


def test_every_result_is_restored_exactly() -> None:
    results(5)
    Conversation.objects.filter(pk=Conversation.objects.latest("pk").pk).update(
        analysis_state="failed", analysis_reason="timeout"
    )
    before = columns()
    run = backfill([{"call_summary": "New.", "call_successful": False}] * 5)
    assert columns() != before

    undone = roll_back(run)

    assert columns() == before
    assert undone.state == State.COMPLETED
    assert set(undone.items.values_list("state", "changed")) == {("done", True)}
    current = Analysis.objects.current()
    assert current.count() == 4
    assert set(current.values_list("trigger", "backfill_public_id")) == {
        ("restored", undone.public_id)
    }
    verbs = list(AuditEntry.objects.order_by("pk").values_list("verb", flat=True))
    assert verbs[-2:] == ["rollback.started", "rollback.completed"]


def test_results_that_were_rolled_back_to_none_are_not_called_analyzed_again() -> None:
    results(3)
    run = backfill([{"call_summary": "New."}] * 3)
    roll_back(run)
    assert not Conversation.objects.latest("pk").analysis_data

    assert preview_rollback(Selection(run)).left == {"restored_since": 3}


def test_logged_conversations_get_the_earlier_text_again() -> None:
    make_connection(log_conversations=True)
    contact = make_contact()
    make_conversations(make_agent(), 3)
    Conversation.objects.update(contact=contact)
    found = list(Conversation.objects.order_by("pk"))
    record_imported([Imported(one, {"call_summary": "First."}) for one in found[:2]], by=BY)
    run = backfill([{"call_summary": "New."}] * 3)
    Push.objects.update(state="sent", finished_at=timezone.now())

    rollback_services.start_rollback(
        selection=select(run, {"id": [found[0].public_id]}),
        by=BY,
        side_effects=SideEffects(contacts=False),
    )
    batches.run_batches(seconds=600)
    assert not Push.objects.filter(state="pending").exists()

    roll_back(run)
    pending = Push.objects.filter(state="pending").values_list("conversation", flat=True)
    assert set(pending) == {one.pk for one in found[1:]}


def test_rolling_back_a_rollback_brings_the_results_of_the_run_again() -> None:
    results(3)
    before = columns()
    run = backfill([{"call_summary": "New.", "call_successful": False}] * 3)
    after = columns()

    first = roll_back(run)
    assert columns() == before
    second = roll_back(first)
    assert columns() == after
    roll_back(second)
    assert columns() == before


def test_what_happened_since_is_left_alone() -> None:
    found = results(5)
    run = backfill(
        ["refusal", *[{"call_summary": f"New {n}.", "call_successful": False} for n in range(4)]]
    )
    rerun, restored, erased = (
        item.conversation for item in run.items.filter(state="done").order_by("pk")[:3]
    )
    assert rerun is not None
    assert restored is not None
    assert erased is not None
    record_imported([Imported(rerun, {"call_summary": "Newer."})], by=BY)
    restore(analysis=Analysis.objects.get(conversation=restored, trigger="imported"), by=BY)
    erase(conversations=Conversation.objects.filter(pk=erased.pk), by=BY, why="asked")
    kept = {row[0]: row for row in columns()}

    preview = preview_rollback(Selection(run))
    undone = roll_back(run)

    expected = {"rerun_since": 1, "restored_since": 1, "erased": 1, "no_result": 1}
    assert dict(preview.left) == expected
    assert preview.restore == 1
    assert left(undone) == expected
    after = {row[0]: row for row in columns()}
    changed = {name for name in kept if kept[name] != after[name]}
    done = undone.items.get(state="done").conversation
    assert done is not None
    assert changed == {done.public_id}
    assert len(found) == 5


def test_a_rerun_after_the_preview_is_left_alone() -> None:
    results(3)
    run = backfill([{"call_summary": "New."}] * 3)
    selection = Selection(run)
    started = rollback_services.start_rollback(selection=selection, by=BY)
    newer = Conversation.objects.earliest("pk")
    record_imported([Imported(newer, {"call_summary": "Newer."})], by=BY)

    batches.run_batches(seconds=600)

    assert left(started) == {"rerun_since": 1}
    newer.refresh_from_db()
    assert newer.summary == "Newer."


def test_a_filter_of_changes_rolls_back_only_those() -> None:
    results(4)
    run = backfill([{"call_summary": "New.", "call_successful": n > 2} for n in range(4)])

    undone = roll_back(run, changed="call_successful", **{"from": "true", "to": "false"})

    assert undone.items.filter(state="done").count() == undone.total == 2
    for item in undone.items.select_related("analysis", "previous_analysis"):
        assert item.analysis is not None
        assert item.previous_analysis is not None
        assert item.analysis.ordered_output()["call_successful"] is True
        assert item.previous_analysis.ordered_output()["call_successful"] is False
    assert undone.filters == {"changed": ["call_successful"], "from": ["true"], "to": ["false"]}


def test_filters_of_conversations_limit_a_rollback() -> None:
    results(3)
    run = backfill([{"call_summary": f"New {n}."} for n in range(3)])
    one = Conversation.objects.latest("pk")

    undone = roll_back(run, id=[one.public_id])

    assert [item.conversation for item in undone.items.all()] == [one]


def test_two_people_start_one_rollback() -> None:
    results(3)
    run = backfill([{"call_summary": "New."}] * 3)
    selection = Selection(run)
    tokens = [rollback_services.token_for(preview_rollback(selection)) for _ in range(2)]

    first, second, again = (
        rollback_services.start_rollback(selection=selection, by=BY, token=token)
        for token in (*tokens, tokens[0])
    )

    assert first == second == again
    batches.run_batches(seconds=600)
    third = rollback_services.start_rollback(selection=selection, by=BY, token=tokens[0])
    assert third == first
    with pytest.raises(rollback_services.NothingToRestore):
        rollback_services.start_rollback(selection=selection, by=BY, token=tokens[1])


def test_more_than_was_shown_is_not_rolled_back() -> None:
    results(3)
    run = backfill([{"call_summary": "New."}, {"call_summary": "New."}, "timeout"])
    selection = Selection(run)
    token = rollback_services.token_for(preview_rollback(selection))
    control.retry_failed(run=run, by=BY)
    with pytest.raises(control.UnableToChange):
        rollback_services.start_rollback(selection=selection, by=BY, token=token)
    outcomes = [AnalysisOutcome(job, output={"call_summary": "Late."}) for job in SOURCE.claim(1)]
    record.record(outcomes, settle=SOURCE.settle)
    close_finished()
    selection = Selection(Run.objects.get(pk=run.pk))

    with pytest.raises(rollback_services.RollbackOutdated, match="Now 3 results"):
        rollback_services.start_rollback(selection=selection, by=BY, token=token)
    other = Selection(selection.run, change=ChangeFilter("changed", "call_summary"))
    with pytest.raises(rollback_services.RollbackOutdated, match="filters changed"):
        rollback_services.start_rollback(selection=other, by=BY, token=token)


def test_a_rollback_pauses_resumes_and_is_canceled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH", 2)
    results(6)
    run = backfill([{"call_summary": "New."}] * 6)
    undone = rollback_services.start_rollback(selection=Selection(run), by=BY)
    assert batches.do_batch(undone) == 2

    control.pause(run=undone, by=BY)
    batches.run_batches(seconds=600)
    assert undone.items.filter(state="done").count() == 2

    control.resume(run=undone, by=BY)
    assert batches.do_batch(undone) == 2
    control.cancel(run=undone, by=BY)
    batches.run_batches(seconds=600)
    undone.refresh_from_db()
    assert undone.state == State.CANCELLED
    assert left(undone) == {"canceled": 2}
    assert Analysis.objects.current().filter(backfill_public_id=run.public_id).count() == 2


@pytest.fixture
def other_worker() -> Iterator[BaseDatabaseWrapper]:
    """A connection of another worker."""
    other = connections.create_connection(DEFAULT_DB_ALIAS)
    yield other
    other.close()


def test_as_many_batches_run_at_a_time_as_a_run_has_slots(
    monkeypatch: pytest.MonkeyPatch, other_worker: BaseDatabaseWrapper
) -> None:
    monkeypatch.setattr(batches, "BATCH", 2)
    results(4)
    undone = rollback_services.start_rollback(
        selection=Selection(backfill([{"call_summary": "New."}] * 4)), by=BY
    )
    other_worker.set_autocommit(False)
    slots = [f"batch {slot} of {undone.public_id}" for slot in range(starting.SLOTS)]
    take = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
    with other_worker.cursor() as cursor:
        for slot in slots[:-1]:
            cursor.execute(take, [slot])
        assert batches.do_batch(undone) == 2
        cursor.execute(take, slots[-1:])
        assert batches.do_batch(undone) == 0
    other_worker.rollback()

    assert batches.do_batch(undone) == 2


def test_a_rollback_is_paused_while_a_batch_runs(other_worker: BaseDatabaseWrapper) -> None:
    results(3)
    undone = rollback_services.start_rollback(
        selection=Selection(backfill([{"call_summary": "New."}] * 3)), by=BY
    )
    other_worker.set_autocommit(False)
    with other_worker.cursor() as cursor:
        cursor.execute("SELECT id FROM runs_runitem WHERE run_id = %s FOR UPDATE", [undone.pk])

        control.pause(run=undone, by=BY)

        batches.run_batches(seconds=600)
        undone.refresh_from_db()
        assert undone.state == State.PAUSED
    other_worker.rollback()
    control.resume(run=undone, by=BY)
    batches.run_batches(seconds=600)
    undone.refresh_from_db()
    assert undone.state == State.COMPLETED


def test_an_item_that_breaks_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    results(3)
    run = backfill([{"call_summary": "New."}] * 3)
    undone = rollback_services.start_rollback(selection=Selection(run), by=BY)
    bad = undone.items.earliest("pk")
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE runs_runitem ADD CONSTRAINT broken"
            f" CHECK (id <> {bad.pk} OR state <> 'done')"
        )
    try:
        batches.run_batches(seconds=600)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE runs_runitem DROP CONSTRAINT broken")

    undone.refresh_from_db()
    assert undone.state == State.COMPLETED
    assert list(undone.items.order_by("pk").values_list("state", "error_code")) == [
        ("failed", "internal"),
        ("done", ""),
        ("done", ""),
    ]


@pytest.mark.parametrize(("webhooks", "told"), [("off", 0), ("changed", 2), ("all", 2)])
def test_side_effects_of_a_rollback(webhooks: str, told: int) -> None:
    results(3)
    run = backfill([{"call_summary": "New."}] * 3)
    endpoint_to("https://example.com/hook")
    effects = SideEffects.model_validate({"contacts": False, "webhooks": webhooks})
    undone = rollback_services.start_rollback(selection=Selection(run), by=BY, side_effects=effects)

    batches.run_batches(seconds=600)

    assert Event.objects.filter(type="conversation.analyzed").count() == told
    completed = Event.objects.get(type="backfill.completed")
    assert '"kind":"rollback"' in completed.payload.replace(" ", "")
    made = Analysis.objects.filter(backfill_public_id=undone.public_id)
    assert set(made.values_list("contacts", "webhooks")) == {(False, webhooks)}


def test_a_batch_costs_a_fixed_number_of_statements(
    django_assert_num_queries: Any,
) -> None:
    results(6)
    run = backfill([{"call_summary": "New."}] * 6)
    undone = rollback_services.start_rollback(selection=Selection(run), by=BY)

    with django_assert_num_queries(18):
        assert batches.do_batch(undone) == 6


def test_a_rerun_in_progress_is_not_disturbed() -> None:
    results(2)
    run = backfill([{"call_summary": "New."}] * 2)
    found = Conversation.objects.earliest("pk")
    pending = request_rerun(conversation=found, by=BY)

    roll_back(run)

    pending.refresh_from_db()
    assert pending.state == "pending"
    assert RunItem.objects.filter(run__kind="rollback", state="done").count() == 2


def test_contributions_to_contacts_go_back_with_the_results() -> None:
    conversations = results(3)
    contact = make_contact()
    Conversation.objects.update(contact=contact)
    make_contact_field("won", "boolean")
    make_mapping("call_successful", "won")
    said = Contribution.objects.order_by("conversation", "field")
    record_imported([Imported(one, {"call_successful": True}) for one in conversations[:-1]], by=BY)
    fold_marked()
    before = list(said.values_list("conversation", "field", "value", "problem"))
    run = backfill([{"call_successful": False}] * 3)
    fold_marked()
    contact.refresh_from_db()
    assert contact.fields == {"won": False}

    kept = Selection(run)
    effects = SideEffects(contacts=False)
    rollback_services.start_rollback(selection=kept, by=BY, side_effects=effects)
    batches.run_batches(seconds=600)
    fold_marked()
    contact.refresh_from_db()
    assert contact.fields == {"won": False}

    run = backfill([{"call_successful": False}] * 3)
    roll_back(run)
    fold_marked()
    assert list(said.values_list("conversation", "field", "value", "problem")) == before
    contact.refresh_from_db()
    assert contact.fields == {"won": True}

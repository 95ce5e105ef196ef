"""Long lists are written by a worker, in batches, while the run is queued or paused."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry, Role
from apps.agents.models import Agent
from apps.conversations.models import Conversation
from apps.privacy.erasure import erase
from apps.runs import control, freezing, services, starting
from apps.runs.backfill_queue import BackfillQueue
from apps.runs.closing import close_finished
from apps.runs.models import Run, State
from apps.runs.options import Options
from apps.runs.preview import make_preview
from apps.runs.progress import progress_of
from tests.api.conftest import Caller
from tests.factories import (
    client_as,
    edit_prompt,
    make_agent,
    make_conversation,
    make_conversations,
)
from tests.locks import Writer

pytestmark = [pytest.mark.django_db]

BY = Actor.system("tests")
MANY = 10


@pytest.fixture
def agent() -> Agent:
    return make_agent()


@pytest.fixture(autouse=True)
def batches_of_three(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(starting, "AT_ONCE", 2)
    settings.FREEZE_BATCH = 3


def start(token: str | None = None, options: Options | None = None) -> Run:
    return services.start(
        channel="voice", params={}, options=options or Options(), by=BY, token=token
    )


def token(options: Options | None = None) -> str:
    shown = make_preview(channel="voice", params={}, options=options or Options())
    return services.token_for(shown)


def erase_some(conversations: Iterable[Conversation]) -> None:
    keys = [conversation.pk for conversation in conversations]
    erase(conversations=Conversation.objects.filter(pk__in=keys), by=BY, why="tests")


def refreshed(run: Run) -> Run:
    return Run.objects.get(pk=run.pk)


def test_a_long_list_is_written_in_batches_and_then_worked(agent: Agent) -> None:
    make_conversations(agent, MANY)
    run = start()
    assert (run.state, run.freezing, run.total, run.items.count()) == ("queued", True, MANY, 0)
    assert freezing.freeze_batch(run)
    assert (refreshed(run).frozen, run.items.count()) == (3, 3)
    assert progress_of(refreshed(run)).counts()["pending"] == MANY
    assert BackfillQueue().claim(MANY) == []
    close_finished()
    assert refreshed(run).state == State.QUEUED

    freezing.run_freezing()
    run = refreshed(run)
    assert (run.freezing, run.total, run.items.count()) == (False, MANY, MANY)
    keys = run.items.values_list("conversation", flat=True)
    assert set(keys) == set(Conversation.objects.values_list("pk", flat=True))
    assert len(BackfillQueue().claim(MANY)) == MANY


def test_a_short_list_is_written_at_once(agent: Agent) -> None:
    make_conversations(agent, 2)
    run = start()
    assert (run.freezing, run.total, run.items.count()) == (False, 2, 2)


def test_a_draft_that_is_edited_in_between_changes_nothing(agent: Agent) -> None:
    make_conversations(agent, MANY)
    run = start()
    freezing.freeze_batch(run)
    frozen = set(run.items.values_list("config", flat=True))
    edit_prompt(agent, "Something else.")
    freezing.run_freezing()
    assert set(run.items.values_list("config", flat=True)) == frozen


def test_a_sample_is_that_of_the_preview(agent: Agent) -> None:
    make_conversations(agent, 2 * MANY)
    options = Options(sample_count=5)
    shown = make_preview(channel="voice", params={}, options=options)
    run = start(services.token_for(shown), options)
    freezing.run_freezing()
    assert refreshed(run).total == 5
    assert shown.chosen.all_in(run.pk)


def test_a_run_never_gets_more_than_was_agreed_to(agent: Agent) -> None:
    make_conversations(agent, 4)
    waiting = [make_conversation(agent, status="ongoing") for _ in range(4)]
    run = start(token())
    Conversation.objects.filter(pk__in=[c.pk for c in waiting]).update(status="ended")
    freezing.run_freezing()
    assert refreshed(run).total == run.items.count() == 4


def test_a_run_of_nothing_any_more_completes(agent: Agent) -> None:
    make_conversations(agent, MANY)
    run = start(token())
    Conversation.objects.update(status="ongoing")
    freezing.run_freezing()
    close_finished()
    run = refreshed(run)
    assert (run.state, run.total) == (State.COMPLETED, 0)


def test_two_saves_of_a_freezing_run_are_one(agent: Agent) -> None:
    make_conversations(agent, MANY)
    form, other = token(), token()
    run = start(form)
    assert start(form) == run
    assert start(other) == run
    make_conversation(agent)
    assert start(token()) != run


def test_a_paused_run_goes_on_freezing_and_waits(agent: Agent) -> None:
    make_conversations(agent, MANY)
    run = start()
    control.pause(run=run, by=BY)
    freezing.run_freezing()
    assert (refreshed(run).state, refreshed(run).freezing) == (State.PAUSED, False)
    assert BackfillQueue().claim(MANY) == []
    control.resume(run=run, by=BY)
    assert len(BackfillQueue().claim(MANY)) == MANY


def test_a_run_canceled_while_freezing_does_nothing_more(agent: Agent) -> None:
    make_conversations(agent, MANY)
    run = start()
    freezing.freeze_batch(run)
    control.cancel(run=run, by=BY)
    assert not freezing.freeze_batch(run)
    close_finished()
    run = refreshed(run)
    assert (run.state, run.freezing, run.items.count()) == (State.CANCELLED, False, 3)
    counts = progress_of(run).counts()
    assert (counts["total"], counts["skipped"], counts["pending"]) == (MANY, MANY, 0)
    assert BackfillQueue().claim(MANY) == []


def test_a_filter_that_is_gone_cancels_the_run_with_the_reason(agent: Agent) -> None:
    make_conversations(agent, MANY)
    run = start()
    Run.objects.update(filters={"nonsense": ["1"]})
    freezing.run_freezing()
    assert refreshed(run).state == State.CANCELLED
    entries = AuditEntry.objects.filter(verb="backfill.cancelled", target=run.public_id)
    assert "nonsense" in str([entry.detail for entry in entries])


def test_pages_and_api_show_how_far_the_list_is(agent: Agent) -> None:
    make_conversations(agent, MANY)
    run = start()
    freezing.freeze_batch(run)
    client = client_as(Role.OPERATOR)
    for path in ("", "progress/"):
        page = client.get(f"/backfills/{run.public_id}/{path}", headers=HTMX if path else {})
        words = " ".join(page.content.decode().split())
        assert "Preparing the list." in words
        assert "3 of 10 calls listed" in words
    assert "Preparing" in client.get("/backfills/").content.decode()
    assert "Preparing the list, 30%" in client.get("/backfills/banner/").content.decode()
    shown = json.loads(Caller(Role.VIEWER).get(f"/backfills/{run.public_id}").content)
    assert shown["preparing"] == {"done": 3, "total": MANY}
    assert (shown["state"], shown["counts"]["pending"]) == ("queued", MANY)


HTMX = {"HX-Request": "true"}


def items_of(run: Run, state: str) -> list[dict[str, Any]]:
    answer = Caller(Role.VIEWER).get(f"/backfills/{run.public_id}/items", state=state)
    items: list[dict[str, Any]] = json.loads(answer.content)["items"]
    return items


def test_an_item_of_a_canceled_run_is_skipped_for_everyone(agent: Agent) -> None:
    make_conversations(agent, MANY)
    run = start()
    freezing.run_freezing()
    control.cancel(run=run, by=BY)
    close_finished()
    shown = items_of(run, "skipped")
    assert len(shown) == MANY
    assert {(item["state"], item["reason"]) for item in shown} == {("skipped", "canceled")}
    assert items_of(run, "pending") == []
    erase_some(Conversation.objects.all()[:2])
    again = items_of(run, "skipped")
    assert sorted({item["reason"] for item in again}) == ["canceled", "erased"]


def test_what_was_erased_in_between_is_not_listed(agent: Agent) -> None:
    made = make_conversations(agent, MANY)
    run = start()
    freezing.freeze_batch(run)
    erase_some([made[0], made[-1]])
    freezing.run_freezing()
    assert refreshed(run).total == run.items.count() == MANY - 1
    assert run.items.filter(conversation=None, state="skipped").count() == 1
    assert len(BackfillQueue().claim(MANY)) == MANY - 2


@pytest.mark.django_db(transaction=True)
def test_an_erasure_waits_for_a_batch_and_finds_its_items(agent: Agent) -> None:
    made = make_conversations(agent, MANY)
    run = start()
    with transaction.atomic():
        starting.keep_erasures_out()
        eraser = Writer(lambda: erase_some(made))
        eraser.wait_blocked()
        freezing.run_freezing()
    eraser.join()
    assert run.items.filter(conversation=None, state="skipped").count() == MANY


@pytest.mark.django_db(transaction=True)
def test_save_answers_where_counting_again_takes_too_long(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_conversations(agent, MANY)
    form = token()
    shown = make_preview(channel="voice", params={}, options=Options())
    monkeypatch.setattr(starting, "RECOUNT_SECONDS", 0.05)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE conversations_conversation IN ACCESS EXCLUSIVE MODE")
        saver = Writer(lambda: start(form))
        saver.join()
    run = Run.objects.get()
    assert (run.freezing, run.total, run.estimate) == (True, MANY, shown.estimate_json())
    freezing.run_freezing()
    assert shown.chosen.all_in(run.pk)
    assert run.as_of < timezone.now()


@pytest.mark.django_db(transaction=True)
def test_a_changed_draft_is_refused_without_counting(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_conversations(agent, MANY)
    form = token()
    edit_prompt(agent, "Something else.")
    monkeypatch.setattr(starting, "RECOUNT_SECONDS", 0.05)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE conversations_conversation IN ACCESS EXCLUSIVE MODE")
        saver = Writer(lambda: start(form))
        with pytest.raises(services.PreviewOutdated, match="draft changed"):
            saver.join()
    assert not Run.objects.exists()

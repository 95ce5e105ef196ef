"""Starting, stopping and continuing a backfill, without a model."""

import pytest
from django.db import connection
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry
from apps.agents.models import Agent
from apps.conversations.filters import FilterError
from apps.conversations.models import Conversation
from apps.runs import control, services
from apps.runs.backfill_queue import BackfillQueue
from apps.runs.models import Run, RunItem, State
from apps.runs.options import Options
from apps.runs.preview import Preview, make_preview
from tests.factories import edit_prompt, make_agent, make_conversation, make_conversations

pytestmark = [pytest.mark.django_db]

BY = Actor.system("tests")


@pytest.fixture
def agent() -> Agent:
    return make_agent()


def start(**values: object) -> Run:
    chosen = {"channel": "voice", "params": {}, "options": Options(), "by": BY, **values}
    return services.start(**chosen)  # type: ignore[arg-type]  # as callers give them


def preview(**params: list[str]) -> Preview:
    return make_preview(channel="voice", params=params, options=Options())


def test_save_freezes_what_matches_with_the_drafts_of_that_moment(agent: Agent) -> None:
    make_conversations(agent, 3)
    make_conversation(agent, status="ongoing")
    run = start()
    frozen = set(run.items.values_list("config_id", flat=True))
    after = edit_prompt(agent, "Something else.")
    assert run.total == run.items.count() == 3
    assert set(run.items.values_list("config_id", flat=True)) == frozen
    assert after.config_id not in frozen
    assert run.plan[0]["conversations"] == 3
    assert AuditEntry.objects.filter(verb="backfill.started", target=run.public_id).count() == 1


def test_a_second_save_of_the_same_form_starts_nothing(agent: Agent) -> None:
    make_conversations(agent, 2)
    token = services.token_for(preview())
    first = start(token=token)
    second = start(token=token)
    assert first == second
    assert RunItem.objects.count() == 2


@pytest.mark.parametrize(
    "params",
    [
        {"nonsense": ["1"]},
        {"duration_ms__gt": ["soon"]},
        {"status__gt": ["ended"]},
        {"agent": ["nobody"]},
    ],
)
def test_a_bad_filter_starts_nothing(agent: Agent, params: dict[str, list[str]]) -> None:
    make_conversations(agent, 2)
    with pytest.raises((FilterError, services.NothingToAnalyze)):
        start(params=params)
    assert not Run.objects.exists()


def test_save_refuses_when_more_match_than_was_shown(agent: Agent) -> None:
    make_conversations(agent, 2)
    waiting = make_conversation(agent, status="ongoing")
    token = services.token_for(preview())
    Conversation.objects.filter(pk=waiting.pk).update(status="ended")
    with pytest.raises(services.PreviewOutdated) as refused:
        start(token=token)
    assert refused.value.preview is not None
    assert refused.value.preview.to_analyze == 3
    assert not Run.objects.exists()


def test_what_came_in_after_the_preview_is_not_taken(agent: Agent) -> None:
    make_conversations(agent, 2)
    shown = preview()
    token = services.token_for(shown)
    Conversation.objects.update(created_at=shown.as_of)
    late = make_conversation(agent)
    Conversation.objects.filter(pk=late.pk).update(created_at="2999-01-01T00:00Z")
    assert start(token=token).total == 2


def test_save_refuses_when_a_draft_was_edited_since(agent: Agent) -> None:
    make_conversations(agent, 2)
    token = services.token_for(preview())
    edit_prompt(agent, "Other.")
    with pytest.raises(services.PreviewOutdated, match="draft changed"):
        start(token=token)


def test_nothing_to_analyse_says_why(agent: Agent) -> None:
    make_conversation(agent, status="not_connected")
    with pytest.raises(services.NothingToAnalyze, match="None of the 1 matching conversations"):
        start()


def test_cancel_skips_what_waits(agent: Agent) -> None:
    make_conversations(agent, 3)
    run = start()
    control.cancel(run=run, by=BY)
    run.refresh_from_db()
    assert run.state == State.CANCELLED
    assert {item.shown_state for item in run.items.all()} == {"skipped"}
    assert {item.shown_skip_reason for item in run.items.all()} == {"canceled"}
    with pytest.raises(control.UnableToChange, match="is canceled"):
        control.cancel(run=run, by=BY)


def test_a_paused_run_gives_out_nothing_until_it_is_resumed(agent: Agent) -> None:
    make_conversations(agent, 3)
    run = start()
    control.pause(run=run, by=BY)
    assert BackfillQueue().claim(10) == []
    control.resume(run=run, by=BY)
    assert len(BackfillQueue().claim(10)) == 3


def test_resume_writes_only_the_items_that_were_put_off(agent: Agent) -> None:
    make_conversations(agent, 3)
    run = start()
    put_off = run.items.earliest("pk")
    run.items.filter(pk=put_off.pk).update(not_before="2999-01-01T00:00Z")
    control.pause(run=run, by=BY)
    before = versions_of(run)
    control.resume(run=run, by=BY)
    after = versions_of(run)
    assert [pk for pk in after if after[pk] != before[pk]] == [put_off.pk]
    assert len(BackfillQueue().claim(10)) == 3


def versions_of(run: Run) -> dict[int, str]:
    """Where each item is stored, which changes when it is written."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, ctid::text FROM runs_runitem WHERE run_id = %s", [run.pk])
        return dict(cursor.fetchall())


def test_retry_failed_opens_a_completed_run_again(agent: Agent) -> None:
    make_conversations(agent, 2)
    run = start()
    run.items.update(state="failed", error_code="timeout", finished_at=timezone.now())
    BackfillQueue().finished()
    run.refresh_from_db()
    assert run.state == State.COMPLETED
    assert control.retry_failed(run=run, by=BY) == 2
    run.refresh_from_db()
    assert run.state == State.RUNNING
    assert run.finished_at is None
    with pytest.raises(control.UnableToChange, match="no failures"):
        control.retry_failed(run=run, by=BY)

"""Choosing, starting, cancelling and throwing away trials."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry
from apps.analysis.imports import Imported, record_imported
from apps.analysis.models import Analysis
from apps.conversations.filters import parse
from apps.conversations.models import Conversation, Transfer
from apps.runs import control, starting
from apps.runs.models import Run, RunItem
from apps.runs.test_runs import services as trial_services
from apps.runs.test_runs.services import Order, choose
from tests.factories import (
    edit_prompt,
    make_agent,
    make_conversation,
    make_conversations,
    make_model,
)

from .factories import ADA, chosen, start_trial

pytestmark = [pytest.mark.django_db]


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setattr("django.conf.settings.OPENAI_API_KEY", "k", raising=False)


def test_the_newest_that_can_be_read_are_taken() -> None:
    agent = make_agent()
    now = timezone.now()
    old, new = (make_conversation(agent, sort_at=now - timedelta(hours=h)) for h in (2, 1))
    silent = make_conversation(agent, messages=[], sort_at=now)
    going_on = make_conversation(agent, status="ongoing", sort_at=now)
    make_conversation(make_agent())
    choice = chosen(agent)
    assert [item.conversation.pk for item in choice.taken] == [new.pk, old.pk]
    reasons = {group.conversations: group.why for group in choice.left_out}
    assert "Empty" in reasons[silent.public_id,]
    assert "Still in progress" in reasons[going_on.public_id,]
    assert [i.conversation.pk for i in chosen(agent, count=1).taken] == [new.pk]


def test_a_sample_is_the_same_each_time_and_skips_what_has_the_result() -> None:
    agent = make_agent()
    rows = make_conversations(agent, 6)
    config = agent.versions.get().config
    done = rows[0]
    Conversation.objects.filter(pk=done.pk).update(
        analysis_state="succeeded", analysis_config=config
    )
    spec = parse("voice", {"agent": agent.public_id})
    first, second = (
        choose(spec, agent=None, count=5, order=Order.SAMPLE, lacking_result=True) for _ in range(2)
    )
    taken = [item.conversation.pk for item in first.taken]
    assert taken == [item.conversation.pk for item in second.taken]
    assert set(taken) == {row.pk for row in rows[1:]}


def test_the_draft_reads_alone_what_its_agent_never_answered() -> None:
    agent, other = make_agent(), make_agent()
    make_conversation(other)
    [item] = chosen(agent, agent=other.public_id).taken
    assert item.plan.version.agent_id == agent.pk
    [as_backfill] = chosen(agent, with_agent=False, agent=other.public_id).taken
    assert as_backfill.plan.version.agent_id == other.pk


def test_the_draft_is_folded_along_a_route_it_is_on() -> None:
    agent, other = make_agent(), make_agent()
    conversation = make_conversation(agent, route=f"{agent.pk}+{other.pk}")
    Transfer.objects.create(
        conversation=conversation,
        position=0,
        after_message=1,
        to_version=other.versions.get(),
        setting="both_agents",
    )
    [item] = chosen(agent).taken
    assert {version.agent_id for version in item.plan.versions} == {agent.pk, other.pk}


def test_a_draft_with_nothing_to_fill_in_is_left_out_by_name() -> None:
    agent = make_agent(editor={"built_ins": {}})
    off = {b: {"enabled": False} for b in ("call_summary", "call_successful", "user_sentiment")}
    empty = make_agent(name="Hollow", editor={"built_ins": off})
    make_conversation(empty)
    choice = chosen(empty)
    assert not choice.taken
    assert "Hollow V0 draft has nothing to fill in" in choice.left_out[0].why
    make_conversation(agent)
    assert chosen(agent).taken


def test_a_model_without_a_key_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ABSENT_API_KEY", raising=False)
    agent = make_agent(model=make_model(api_key_env="ABSENT_API_KEY"))
    make_conversation(agent)
    [group] = chosen(agent).left_out
    assert "Set ABSENT_API_KEY." in group.why


def test_the_price_is_that_of_the_same_reruns_and_unknown_where_it_is() -> None:
    agent = make_agent()
    make_conversations(agent, 3)
    choice = chosen(agent)
    assert choice.estimate.cost
    assert choice.estimate.cost == sum(item.estimate.cost or 0 for item in choice.taken)
    assert choice.estimate.low < choice.estimate.cost < choice.estimate.high  # type: ignore[operator]
    unpriced = make_agent(model=make_model(name="dear", input_price=None, output_price=None))
    make_conversation(unpriced)
    assert chosen(unpriced).estimate.cost is None
    assert chosen(unpriced).unpriced == ["dear"]


def test_a_model_that_is_free_on_first_run_is_charged_here() -> None:
    agent = make_agent(model=make_model(free_first_run=True))
    make_conversation(agent)
    assert chosen(agent).estimate.cost
    assert not chosen(agent).is_free
    local = make_agent(
        model=make_model(is_local=True, input_price=Decimal(0), output_price=Decimal(0))
    )
    make_conversation(local)
    assert chosen(local).left_out or chosen(local).is_free


def test_starting_queues_what_was_shown_and_saves_no_analysis() -> None:
    agent = make_agent()
    rows = make_conversations(agent, 2)
    [before] = record_imported([Imported(rows[0], {"call_summary": "Old."})], by=ADA)
    trial = start_trial(agent)
    assert list(trial.items.values_list("state", flat=True)) == ["pending", "pending"]
    found = {item.conversation_id: item.previous_analysis_id for item in trial.items.all()}
    assert found == {rows[0].pk: before.pk, rows[1].pk: None}
    assert Analysis.objects.count() == 1
    assert trial_services.work_waits()
    assert AuditEntry.objects.get(verb="trial.started").detail["conversations"] == 2


def test_a_second_click_is_the_same_trial() -> None:
    agent = make_agent()
    make_conversation(agent)
    token = trial_services.token_for(chosen(agent), asked="q")
    given = {"channel": "voice", "agent": agent, "token": token, "asked": "q", "by": ADA}
    assert trial_services.start(**given) == trial_services.start(**given)  # type: ignore[arg-type]
    assert Run.objects.count() == 1


def test_other_prompts_or_another_question_than_shown_are_refused() -> None:
    agent = make_agent()
    conversation = make_conversation(agent)
    token = trial_services.token_for(chosen(agent), asked="q")

    def refusal(asked: str = "q", token: str = token) -> str:
        with pytest.raises((trial_services.TrialOutdated, starting.InvalidToken)) as refused:
            trial_services.start(channel="voice", agent=agent, token=token, asked=asked, by=ADA)
        return refused.value.message

    assert "out of date" in refusal(asked="another")
    assert "This estimate has expired" in refusal(token="made:up")
    edit_prompt(agent, "Say it in one word.")
    assert "A draft changed" in refusal()
    conversation.delete()
    assert "erased" in refusal()
    assert not Run.objects.exists()


def test_cancelling_ends_what_waits_once() -> None:
    agent = make_agent()
    make_conversations(agent, 2)
    trial = start_trial(agent)
    control.cancel(run=trial, by=ADA)
    with pytest.raises(control.UnableToChange):
        control.cancel(run=trial, by=Actor.system("Bob"))
    assert set(trial.items.values_list("state", flat=True)) == {"skipped"}
    assert not trial_services.work_waits()
    assert AuditEntry.objects.filter(verb="trial.cancelled").count() == 1


def test_trials_go_after_a_week_and_with_their_conversations() -> None:
    agent = make_agent()
    one, two = make_conversations(agent, 2)
    trial = start_trial(agent)
    one.delete()
    assert list(trial.items.values_list("conversation", flat=True)) == [two.pk]
    now = timezone.now()
    assert trial_services.purge(now=now + timedelta(days=6)) == 0
    assert trial_services.purge(now=now + timedelta(days=8)) == 1
    assert not RunItem.objects.exists()
    assert Conversation.objects.filter(pk=two.pk).exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "running", "lease_token": None},
        {"state": "failed", "error_code": ""},
        {"state": "done", "finished_at": None},
        {"state": "lost"},
    ],
)
def test_the_database_refuses_items_that_cannot_be(wrong: dict[str, str]) -> None:
    make_conversation(agent := make_agent())
    trial = start_trial(agent)
    with pytest.raises(IntegrityError), transaction.atomic():
        trial.items.update(**wrong)

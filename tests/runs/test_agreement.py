"""What was shown is what is saved: the token between the figures and the Save button."""

from datetime import timedelta

import pytest
from django.core import signing
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.conversations.models import Conversation
from apps.llm.models import LanguageModel
from apps.runs import control, services, starting
from apps.runs.models import Run, RunItem, State
from apps.runs.options import Options
from apps.runs.preview import make_preview
from tests.factories import edit_prompt, make_agent, make_conversation, make_conversations

pytestmark = pytest.mark.django_db

BY = Actor.system("tests")


@pytest.fixture
def agent() -> Agent:
    agent = make_agent()
    make_conversations(agent, 3)
    return agent


def token(options: Options | None = None, **params: list[str]) -> str:
    shown = make_preview(channel="voice", params=params, options=options or Options())
    return services.token_for(shown)


def save(token: str, options: Options | None = None, **params: list[str]) -> Run:
    return services.start(
        channel="voice", params=params, options=options or Options(), by=BY, token=token
    )


def test_a_token_says_what_was_shown(agent: Agent) -> None:
    read = services.read_token(token(agent=[agent.public_id]))
    assert read.to_analyze == 3
    assert read.configs == {str(agent.pk): agent.versions.get().config.sha256}
    assert read.cost is not None


@pytest.mark.parametrize("spoil", ["", "made-up", "x:y:z"])
def test_a_token_that_is_not_ours_is_refused(agent: Agent, spoil: str) -> None:
    with pytest.raises(starting.InvalidToken):
        services.read_token(spoil)


def test_a_token_that_was_changed_is_refused(agent: Agent) -> None:
    good = token()
    middle = len(good) // 3
    with pytest.raises(starting.InvalidToken):
        save(good[:middle] + ("A" if good[middle] != "A" else "B") + good[middle + 1 :])
    with pytest.raises(starting.InvalidToken):
        save(signing.dumps({"nonce": "x"}, salt="another.purpose"))
    assert not Run.objects.exists()


def test_a_token_of_yesterday_is_refused(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    old = token()
    monkeypatch.setattr(starting, "MAX_AGE_SECONDS", -1)
    with pytest.raises(starting.InvalidToken, match="This estimate has expired"):
        save(old)
    assert not Run.objects.exists()


def test_a_token_of_other_filters_or_options_saves_nothing(agent: Agent) -> None:
    narrow = token(agent=[agent.public_id], status=["ended"])
    with pytest.raises(services.PreviewOutdated, match="filters"):
        save(narrow)
    with pytest.raises(services.PreviewOutdated, match="filters"):
        save(token(), Options(include_analyzed=True))
    assert not Run.objects.exists()


def test_the_order_of_filters_and_values_is_no_other_question() -> None:
    one = services.question_of("voice", {"a": ["1", "2"], "b": ["3"]}, Options())
    assert one == services.question_of("voice", {"b": ["3"], "a": ["2", "1"]}, Options())
    assert one != services.question_of("chat", {"a": ["1", "2"], "b": ["3"]}, Options())


def test_a_used_token_with_other_filters_does_not_lead_to_the_old_run(agent: Agent) -> None:
    used = token()
    save(used)
    with pytest.raises(services.PreviewOutdated, match="filters"):
        save(used, agent=[agent.public_id])
    assert Run.objects.count() == 1


def test_more_than_was_shown_is_refused_and_less_is_not(agent: Agent) -> None:
    waiting = make_conversation(agent, status="ongoing")
    shown = token()
    Conversation.objects.filter(pk=waiting.pk).update(status="ended")
    with pytest.raises(services.PreviewOutdated, match="Now 4 conversations match"):
        save(shown)
    Conversation.objects.filter(pk=waiting.pk).update(status="not_connected")
    one = Conversation.objects.filter(pk__lt=waiting.pk).first()
    assert one
    Conversation.objects.filter(pk=one.pk).update(status="not_connected")
    assert save(shown).total == 2


def test_a_dearer_price_is_refused_and_a_cheaper_one_is_not(agent: Agent) -> None:
    make_conversations(agent, 2_000)
    shown = token()
    LanguageModel.objects.update(input_price=1, output_price=3)
    with pytest.raises(services.PreviewOutdated, match="The estimated cost is now"):
        save(shown)
    LanguageModel.objects.update(input_price="0.01", output_price="0.01")
    assert save(shown).total == 2_003


def test_a_price_that_moves_below_what_was_shown_is_the_same_price(agent: Agent) -> None:
    shown = token()
    LanguageModel.objects.update(token_correction=1.0005)
    assert save(shown).total == 3


def test_an_edited_draft_is_named_as_the_reason(agent: Agent) -> None:
    shown = token()
    edit_prompt(agent, "Other.")
    with pytest.raises(services.PreviewOutdated, match="draft changed"):
        save(shown)


def test_a_route_that_has_nothing_left_is_no_edit(agent: Agent) -> None:
    other = make_agent()
    late = make_conversation(other)
    shown = token()
    Conversation.objects.filter(pk=late.pk).update(
        analysis_state="succeeded", analysis_config=other.versions.get().config
    )
    assert save(shown).total == 3


def test_after_save_an_edit_changes_nothing_in_the_items(agent: Agent) -> None:
    run = save(token())
    frozen = list(run.items.values_list("config", "agent_version"))
    plan = run.plan
    edit_prompt(agent, "Other.")
    run.refresh_from_db()
    assert list(run.items.values_list("config", "agent_version")) == frozen
    assert run.plan == plan


def test_a_conversation_that_comes_later_is_no_part_of_the_run(agent: Agent) -> None:
    shown = token()
    make_conversation(agent, created_at=timezone.now() + timedelta(hours=1))
    run = save(shown)
    assert run.total == run.items.count() == 3


def test_two_tabs_with_the_same_form_start_one_run(agent: Agent) -> None:
    first, second = token(), token()
    run = save(first)
    assert save(second) == run
    assert RunItem.objects.count() == 3


def test_the_same_question_later_is_a_new_run(agent: Agent) -> None:
    run = save(token())
    Run.objects.filter(pk=run.pk).update(state=State.COMPLETED)
    assert save(token()) != run


def test_the_same_question_with_more_in_it_is_a_new_run(agent: Agent) -> None:
    run = save(token())
    make_conversation(agent)
    again = save(token())
    assert again != run
    assert again.total == 4


def test_the_same_question_with_other_prompts_is_a_new_run(agent: Agent) -> None:
    run = save(token())
    edit_prompt(agent, "Other.")
    assert save(token()) != run


def test_a_cancelled_run_is_no_twin(agent: Agent) -> None:
    run = save(token())
    control.cancel(run=run, by=BY)
    assert save(token()) != run


def test_a_run_paused_before_it_began_begins_when_it_is_resumed(agent: Agent) -> None:
    run = save(token())
    control.pause(run=run, by=BY)
    control.resume(run=run, by=BY)
    assert run.state == State.QUEUED

"""Previews say before what a runner would refuse: a transcript longer than the model reads."""

from decimal import Decimal

import pytest
from django.test import Client

from apps.accounts.actors import Actor
from apps.accounts.models import Role
from apps.agents.models import Agent
from apps.analysis.model_call import longest_transcript
from apps.analysis.services import request_rerun
from apps.api.schemas.backfills import PreviewSchema
from apps.conversations.models import Conversation
from apps.llm.specs import Priority
from apps.runs import services
from apps.runs.options import Options
from apps.runs.preview import Preview, make_preview
from tests.factories import (
    edit_draft,
    make_agent,
    make_conversation,
    make_conversations,
    make_model,
)
from tests.fakes.fixtures import FakeLLM
from tests.runners import run_queue

from .test_views import HTMX, as_role, text

pytestmark = pytest.mark.django_db

BY = Actor.system("tests")


@pytest.fixture
def agent() -> Agent:
    return make_agent(
        name="Billing line", model=make_model(context_tokens=4_000, max_output_tokens=700)
    )


def longest(agent: Agent) -> int:
    """Tokens of the longest transcript that the agent's model reads."""
    config = agent.versions.get().config
    limit = longest_transcript(config.sha256, config.parsed(), config.model.spec())
    assert limit is not None
    return limit


def preview(options: Options | None = None) -> Preview:
    return make_preview(channel="voice", params={}, options=options or Options())


def test_what_would_be_refused_is_neither_counted_nor_priced(agent: Agent) -> None:
    limit = longest(agent)
    make_conversations(agent, 2)
    make_conversations(agent, 1, prompt_tokens_est=limit)
    without = preview()
    make_conversations(agent, 4, prompt_tokens_est=limit + 1)
    shown = preview()
    assert (shown.matching, shown.to_analyze) == (7, 3)
    assert shown.not_analyzable == {"transcript_too_long": 4}
    assert shown.estimate == without.estimate
    answer = PreviewSchema.from_preview(shown, token="")
    assert answer.not_analyzable_reasons == {"transcript_too_long": 4}
    run = services.start(channel="voice", params={}, options=Options(), by=BY)
    assert run.total == 3


def test_only_too_long_ones_are_nothing_to_analyze_and_cost_nothing(agent: Agent) -> None:
    make_conversations(agent, 4, prompt_tokens_est=longest(agent) + 1)
    shown = preview()
    assert (shown.to_analyze, shown.estimate.cost) == (0, Decimal(0))
    with pytest.raises(services.NothingToAnalyze, match=r"4 can’t be analyzed.*larger context"):
        services.start(channel="voice", params={}, options=Options(), by=BY)


def test_the_rule_truncate_and_a_larger_model_take_them(agent: Agent) -> None:
    make_conversations(agent, 4, prompt_tokens_est=longest(agent) + 1)
    draft = agent.versions.get()
    draft.long_transcript = "truncate"
    draft.save()
    edit_draft(agent)
    assert preview().to_analyze == 4
    draft = agent.versions.get()
    draft.long_transcript = "refuse"
    draft.save()
    edit_draft(agent)
    assert preview().to_analyze == 0
    model = agent.versions.get().config.model
    model.context_tokens = 200_000
    model.save()
    assert preview().to_analyze == 4


def test_one_that_has_this_result_counts_as_analyzed(agent: Agent) -> None:
    config = agent.versions.get().config
    over = longest(agent) + 1
    make_conversations(
        agent, 3, analysis_state="succeeded", analysis_config=config, prompt_tokens_est=over
    )
    make_conversations(agent, 2, prompt_tokens_est=over)
    shown = preview()
    assert (shown.already_analyzed, shown.not_analyzable_total, shown.to_analyze) == (3, 2, 0)
    again = preview(Options(include_analyzed=True))
    assert (again.not_analyzable_total, again.to_analyze) == (5, 0)


def test_a_sample_draws_none_of_them(agent: Agent) -> None:
    make_conversations(agent, 20, prompt_tokens_est=longest(agent) + 1)
    make_conversations(agent, 3)
    shown = preview(Options(sample_count=10))
    assert (shown.to_analyze, shown.matching) == (3, 23)


def test_each_route_has_its_own_limit(agent: Agent) -> None:
    other = make_agent(model=make_model(context_tokens=64_000, max_output_tokens=700))
    over = longest(agent) + 1
    make_conversation(agent, prompt_tokens_est=over)
    make_conversation(other, prompt_tokens_est=over)
    shown = preview()
    assert {g.plan.version.agent: (g.to_analyze, g.too_long) for g in shown.groups} == {
        agent: (0, 1),
        other: (1, 0),
    }


def test_the_dialog_says_how_many_and_what_helps(agent: Agent) -> None:
    make_conversations(agent, 4, prompt_tokens_est=longest(agent) + 1)
    make_conversation(agent)
    client: Client = as_role(Role.OPERATOR)
    response = client.post("/backfills/preview/", {"channel": "voice"}, headers=HTMX)
    page = text(response)
    assert "4 too long for the model of Billing line" in page
    assert "choose a model with a larger context" in page
    assert f"/agents/{agent.public_id}/" in response.content.decode()


@pytest.mark.django_db(transaction=True)
def test_an_engine_refuses_exactly_what_the_preview_left_out(fake_llm: FakeLLM) -> None:
    """By the stored estimate, however little really stands in the transcript."""
    model = make_model(base_url=fake_llm.url, context_tokens=4_000, max_output_tokens=700)
    agent = make_agent(model=model)
    limit = longest(agent)
    [fits] = make_conversations(agent, 1, prompt_tokens_est=limit)
    [over] = make_conversations(agent, 1, prompt_tokens_est=limit + 1)
    assert preview().to_analyze == 1
    for conversation in (fits, over):
        request_rerun(conversation=conversation, by=BY)
    run_queue(Priority.INTERACTIVE, concurrency=2)
    ended = dict(Conversation.objects.values_list("pk", "analysis_reason"))
    assert ended == {fits.pk: "", over.pk: "transcript_too_long"}
    assert fake_llm.total == 1

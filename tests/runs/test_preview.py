"""The figures before a Save, against what a Save then does."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.conversations.filters import FilterError
from apps.conversations.models import Conversation
from apps.runs import services
from apps.runs.estimate_panel import estimate_panel
from apps.runs.options import Options
from apps.runs.preview import Preview, make_preview
from tests.factories import (
    edit_draft,
    edit_prompt,
    make_agent,
    make_conversation,
    make_conversations,
    make_model,
)

pytestmark = pytest.mark.django_db

BY = Actor.system("tests")


def preview(options: Options | None = None, **params: list[str]) -> Preview:
    return make_preview(channel="voice", params=params, options=options or Options())


@pytest.fixture
def agent() -> Agent:
    return make_agent(name="Billing line")


def test_only_routes_that_were_counted_are_frozen(agent: Agent) -> None:
    """The run has no plan of what ends, by another route, between the count and the freeze."""
    make_conversation(agent)
    late = make_conversation(make_agent(), status="ongoing")
    shown = preview()
    Conversation.objects.filter(pk=late.pk).update(status="ended")
    assert set(shown.chosen.totals()) == {str(agent.pk)}


def test_the_figures_of_a_mixed_set(agent: Agent) -> None:
    config = agent.versions.get().config
    make_conversations(agent, 5)
    make_conversations(agent, 3, analysis_state="succeeded", analysis_config=config)
    make_conversations(agent, 2, status="not_connected")
    make_conversations(agent, 1, status="ongoing")
    make_conversations(agent, 1, messages=[{"role": "tool_call", "content": "{}"}])
    make_conversations(make_agent(channel="chat"), 4)
    shown = preview()
    assert shown.matching == 12
    assert shown.already_analyzed == 3
    assert shown.not_analyzable == {"not_connected": 2, "not_ended": 1, "no_speech": 1}
    assert shown.to_analyze == 5
    assert shown.matching == shown.to_analyze + shown.already_analyzed + shown.not_analyzable_total
    assert [(group.label, group.to_analyze) for group in shown.groups] == [
        ("Billing line V0 draft", 5)
    ]
    assert shown.estimate.input_tokens > sum(
        Conversation.objects.filter(status="ended").values_list("prompt_tokens_est", flat=True)[:5]
    )


@pytest.mark.parametrize(
    "options",
    [
        Options(),
        Options(include_analyzed=True),
        Options(sample_count=4),
        Options(sample_count=400),
        Options(sample_percent=Decimal(40)),
        Options(sample_percent=Decimal(40), include_analyzed=True),
    ],
)
def test_save_freezes_exactly_what_was_shown(agent: Agent, options: Options) -> None:
    config = agent.versions.get().config
    other = make_agent(name="Technical line")
    make_conversations(agent, 9)
    make_conversations(agent, 6, analysis_state="succeeded", analysis_config=config)
    make_conversations(agent, 5, route=f"{agent.pk}+{other.pk}")
    make_conversations(other, 4)
    shown = preview(options)
    run = services.start(channel="voice", params={}, options=options, by=BY)
    assert run.total == shown.to_analyze == sum(group.to_analyze for group in shown.groups)
    assert run.estimate["cost"] == str(shown.estimate.cost)


def test_each_route_of_a_transfer_is_read_with_its_fold(agent: Agent) -> None:
    other = make_agent(name="Technical line", schema=_schema("issue"))
    edit_draft(agent, schema=_schema("topic"))
    make_conversations(agent, 2)
    make_conversations(agent, 3, route=f"{agent.pk}+{other.pk}")
    make_conversations(agent, 1, route=str(other.pk))
    groups = {group.label: group for group in preview().groups}
    assert {label: group.to_analyze for label, group in groups.items()} == {
        "Billing line V0 draft": 2,
        "Billing line V0 draft + Technical line V0 draft": 3,
        "Technical line V0 draft": 1,
    }
    folded = groups["Billing line V0 draft + Technical line V0 draft"].plan
    assert {"topic", "issue"} <= set(folded.document.field_names())
    assert len({group.plan.config.pk for group in groups.values()}) == 3


def test_a_result_of_the_fold_counts_as_already_there(agent: Agent) -> None:
    other = make_agent()
    route = f"{agent.pk}+{other.pk}"
    make_conversations(agent, 2, route=route)
    folded = preview().groups[0].plan.config
    Conversation.objects.update(analysis_state="succeeded", analysis_config=folded)
    assert (preview().to_analyze, preview().already_analyzed) == (0, 2)
    edit_prompt(other, "Another prompt.")
    assert (preview().to_analyze, preview().already_analyzed) == (2, 0)


def test_an_agent_whose_draft_cannot_run_is_left_out_by_name(agent: Agent) -> None:
    broken = make_agent(
        name="Broken line",
        editor={"built_ins": {n: {"enabled": False} for n in _BUILT_INS}},
    )
    make_conversations(agent, 2)
    make_conversations(broken, 3)
    make_conversations(broken, 1, status="not_connected")
    shown = preview()
    assert shown.to_analyze == 2
    assert shown.not_analyzable_total == 4
    [(sentence, count)] = shown.left_out
    assert "Broken line V0 draft" in sentence
    assert count == 3
    assert services.start(channel="voice", params={}, options=Options(), by=BY).total == 2


def test_what_an_agent_settings_keep_from_a_first_analysis_is_meant_too(agent: Agent) -> None:
    edit = agent.versions.get()
    edit.post_analysis_enabled = False
    edit.min_messages = 100
    edit.save()
    for reason in ("disabled", "sampled_out", "too_short"):
        make_conversation(agent, analysis_state="skipped", analysis_reason=reason)
    assert preview().to_analyze == 3


def test_what_comes_in_after_the_moment_is_no_part_of_it(agent: Agent) -> None:
    make_conversations(agent, 2)
    now = timezone.now()
    Conversation.objects.update(created_at=now - timedelta(minutes=2))
    make_conversation(agent, created_at=now)
    shown = make_preview(
        channel="voice", params={}, options=Options(), as_of=now - timedelta(minutes=1)
    )
    assert shown.to_analyze == 2
    assert preview().to_analyze == 3


@pytest.mark.parametrize(
    "params",
    [
        {"nonsense": ["1"]},
        {"duration_ms__gt": ["soon"]},
        {"status__gt": ["ended"]},
        {"analysis.none_such": ["x"]},
        {"agent": [""]},
        {"": ["x"]},
    ],
)
def test_a_filter_that_cannot_be_understood_never_counts_all(
    agent: Agent, params: dict[str, list[str]]
) -> None:
    make_conversations(agent, 2)
    with pytest.raises(FilterError):
        make_preview(channel="voice", params=params, options=Options())


def test_a_price_that_nobody_set_is_unknown_and_not_zero() -> None:
    model = make_model(input_price=None, output_price=None)
    make_conversations(make_agent(model=model), 2)
    make_conversations(make_agent(), 2)
    shown = preview()
    assert shown.estimate.cost is None
    figures = estimate_panel(shown)
    assert figures.cost == "price unknown"
    assert figures.unpriced == [model.name]


def test_a_model_that_was_free_in_the_first_run_is_charged_here() -> None:
    model = make_model(free_first_run=True)
    make_conversations(make_agent(model=model), 2)
    cost = preview().estimate.cost
    assert cost is not None
    assert cost > 0


def test_the_preview_costs_few_queries_whatever_it_counts(
    agent: Agent, django_assert_max_num_queries: object
) -> None:
    for _ in range(6):
        make_conversations(make_agent(), 3)
    make_preview(channel="voice", params={}, options=Options())
    with django_assert_max_num_queries(5):  # type: ignore[operator]  # a fixture of pytest-django
        make_preview(channel="voice", params={}, options=Options())


def _schema(name: str) -> dict[str, object]:
    return {"type": "object", "properties": {name: {"type": "string"}}}


_BUILT_INS = ("call_summary", "call_successful", "user_sentiment")

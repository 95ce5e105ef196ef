"""Which conversations are taken: what speaks against one, the sample, the moment."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.utils import timezone

from apps.agents.models import Agent
from apps.agents.plans import plans_for_routes
from apps.conversations.models import Conversation
from apps.conversations.results import not_analyzable_reason
from apps.runs.models import Run
from apps.runs.options import Options
from apps.runs.selection import Chosen, candidates, choose, readings
from tests.factories import make_agent, make_conversation, make_conversations

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent() -> Agent:
    return make_agent()


def chosen(options: Options | None = None, **params: list[str]) -> Chosen:
    found = candidates("voice", params, timezone.now())
    routes = set(found.values_list("route", flat=True))
    return choose(found, readings(plans_for_routes(routes)), options or Options())


def ids(chosen: Chosen) -> set[int]:
    """What is taken, as a run would freeze it."""
    run = Run.objects.create(
        channel="voice", as_of=timezone.now(), created_by="tests", save_token=uuid4().hex
    )
    chosen.freeze(run.pk, limit=10_000)
    assert chosen.all_in(run.pk)
    return set(run.items.values_list("conversation", flat=True))


@pytest.mark.parametrize(
    "values",
    [
        {"status": "registered"},
        {"status": "ongoing"},
        {"status": "not_connected"},
        {"messages": []},
        {"messages": [{"role": "tool_call", "content": "{}"}]},
        {"status": "error"},
        {},
    ],
)
def test_sql_and_python_agree_on_what_cannot_be_analysed(
    agent: Agent, values: dict[str, object]
) -> None:
    conversation = make_conversation(agent, **values)  # type: ignore[arg-type]  # as given
    reason = not_analyzable_reason(conversation)
    row = candidates("voice", {}, timezone.now()).get()
    assert row.why == (reason or "")
    assert len(ids(chosen())) == (0 if reason else 1)


def test_the_newest_comes_first(agent: Agent) -> None:
    now = timezone.now()
    for days in (2, 0, 1):
        make_conversation(agent, sort_at=now - timedelta(days=days))
    run = Run.objects.create(channel="voice", as_of=now, created_by="t", save_token="t")
    chosen().freeze(run.pk, limit=10_000)
    times = list(run.items.values_list("conversation__sort_at", flat=True))
    assert times == sorted(times, reverse=True)


def test_a_sample_is_the_same_each_time_and_grows_by_adding(agent: Agent) -> None:
    make_conversations(agent, 40)
    few = ids(chosen(Options(sample_count=5)))
    again = ids(chosen(Options(sample_count=5)))
    more = ids(chosen(Options(sample_count=15)))
    assert len(few) == 5
    assert few == again
    assert few < more


def test_a_share_is_about_that_share_and_always_the_same(agent: Agent) -> None:
    make_conversations(agent, 400)
    quarter = ids(chosen(Options(sample_percent=Decimal(25))))
    half = ids(chosen(Options(sample_percent=Decimal(50))))
    assert 60 < len(quarter) < 140
    assert quarter < half
    assert quarter == ids(chosen(Options(sample_percent=Decimal(25))))
    assert len(ids(chosen(Options(sample_percent=Decimal(100))))) == 400


def test_what_has_this_result_is_left_unless_included_or_stale(agent: Agent) -> None:
    draft = agent.versions.get()
    done, stale, failed = make_conversations(agent, 3, analysis_config=draft.config)
    Conversation.objects.filter(pk=done.pk).update(analysis_state="succeeded")
    Conversation.objects.filter(pk=stale.pk).update(analysis_state="succeeded", stale=True)
    Conversation.objects.filter(pk=failed.pk).update(analysis_state="failed")
    assert ids(chosen()) == {stale.pk, failed.pk}
    assert ids(chosen(Options(include_analyzed=True))) == {done.pk, stale.pk, failed.pk}


def test_the_other_channel_is_never_taken(agent: Agent) -> None:
    make_conversation(make_agent(channel="chat"))
    kept = make_conversation(agent)
    assert ids(chosen()) == {kept.pk}


def test_a_hostile_value_stays_a_value(agent: Agent) -> None:
    make_conversation(agent, external_id="100%s'; --")
    assert len(ids(chosen(external_id=["100%s'; --"]))) == 1
    assert not ids(chosen(external_id=["%(x)s"]))


def test_all_in_sees_what_came_later(agent: Agent) -> None:
    make_conversations(agent, 2)
    run = Run.objects.create(channel="voice", as_of=timezone.now(), created_by="t", save_token="t")
    assert chosen().freeze(run.pk, limit=10_000) == 2
    make_conversation(agent)
    assert not chosen().all_in(run.pk)


def test_a_search_without_a_hit_takes_nothing(agent: Agent) -> None:
    make_conversations(agent, 2)
    assert ids(chosen(q=["no such words"])) == set()
    assert chosen(q=["no such words"]).totals() == {}

"""Results add follow-ups by the rules, once, and without a flood."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.analysis.imports import Imported, record_imported, restore
from apps.analysis.models import Analysis
from apps.conversations.models import Conversation, Trigger
from apps.conversations.results import NewResult
from apps.follow_ups.models import FollowUp
from apps.follow_ups.results import request_follow_ups
from apps.webhooks.models import Event
from tests.factories import (
    edit_draft,
    make_agent,
    make_conversation,
    make_conversations,
    make_endpoint,
    make_follow_up,
    make_follow_up_rule,
)

pytestmark = pytest.mark.django_db

BY = Actor.system("tests")
ASKS = {"follow_up_needed": True, "follow_up_notes": "Call back about\nthe second charge."}
SCHEMA = {
    "type": "object",
    "properties": {
        "follow_up_needed": {"type": "boolean"},
        "follow_up_notes": {"type": "string"},
        "lead_quality": {"type": "string", "enum": ["hot", "cold"]},
        "next_step": {"type": "string"},
    },
}
HOT = {"field": "analysis.lead_quality", "value": "hot"}


@pytest.fixture
def agent() -> Agent:
    agent = make_agent()
    edit_draft(agent, schema=SCHEMA)
    return agent


def now_has(
    conversation: Conversation,
    values: dict[str, Any],
    trigger: str = Trigger.INITIAL,
    **options: Any,
) -> None:
    """Make a result current, as recording does."""
    Conversation.objects.filter(pk=conversation.pk).update(analysis_data=values)
    result = NewResult(conversation.pk, conversation.agent_id, "an_1", values, trigger, **options)
    request_follow_ups([result])


def test_the_default_rule_is_the_field_of_the_template(agent: Agent) -> None:
    conversation = make_conversation(agent)
    now_has(conversation, ASKS | {"topic": "billing"})
    row = FollowUp.objects.get()
    assert row.origin == "analysis"
    assert row.reason == "Call back about\nthe second charge."
    assert row.values == ASKS
    assert (row.created_by, row.due_at, row.owner) == ("Analysis", None, None)
    now_has(conversation, ASKS)
    assert FollowUp.objects.count() == 1


@pytest.mark.parametrize("value", [False, None, "later", "true", 1])
def test_other_values_ask_for_nothing(agent: Agent, value: object) -> None:
    now_has(make_conversation(agent), {"follow_up_needed": value})
    assert not FollowUp.objects.exists()


@pytest.mark.parametrize(
    ("trigger", "added"),
    [("initial", 1), ("imported", 1), ("rerun", 0), ("backfill", 0), ("restored", 0)],
)
def test_only_first_analyses_add_by_default(agent: Agent, trigger: str, added: int) -> None:
    now_has(make_conversation(agent), ASKS, trigger)
    assert FollowUp.objects.count() == added


def test_first_analyses_of_old_conversations_add_nothing(agent: Agent) -> None:
    old = make_conversation(agent, started_at=timezone.now() - timedelta(days=8))
    Conversation.objects.filter(pk=old.pk).update(sort_at=timezone.now() - timedelta(days=8))
    now_has(old, ASKS)
    assert not FollowUp.objects.exists()
    make_follow_up_rule(
        document={"field": "analysis.follow_up_needed", "value": True}, applies="all"
    )
    now_has(old, ASKS)
    assert FollowUp.objects.exists()


@pytest.mark.parametrize(
    ("trigger", "added"),
    [("initial", 1), ("imported", 1), ("rerun", 1), ("backfill", 1), ("restored", 0)],
)
def test_a_rule_for_all_analyses_adds_by_each(agent: Agent, trigger: str, added: int) -> None:
    make_follow_up_rule(document=HOT, applies="all", reason_field="next_step", due_days=2)
    now_has(make_conversation(agent), {"lead_quality": "hot", "next_step": "Demo"}, trigger)
    rows = FollowUp.objects.all()
    assert [row.reason for row in rows] == ["Demo"] * added
    today = timezone.localtime().date()
    assert {timezone.localtime(row.due_at).date() for row in rows if row.due_at} <= {
        today + timedelta(days=2),
        today + timedelta(days=3),  # past midnight
    }


def test_a_finished_one_is_not_added_again_unless_messages_came(agent: Agent) -> None:
    make_follow_up_rule(document=HOT, applies="all")
    conversation = make_conversation(agent)
    make_follow_up(conversation, done_at=timezone.now())
    hot = {"lead_quality": "hot"}
    for trigger in (Trigger.RERUN, Trigger.BACKFILL, Trigger.IMPORTED):
        now_has(conversation, hot, trigger)
    assert not FollowUp.objects.open().exists()
    now_has(conversation, hot, Trigger.INITIAL)
    assert FollowUp.objects.open().count() == 1


def test_an_agents_rule_takes_the_place_of_the_general_one(agent: Agent) -> None:
    make_follow_up_rule(agent=agent, document=HOT)
    other = make_agent()
    now_has(make_conversation(agent), ASKS | {"lead_quality": "cold"})
    now_has(make_conversation(other), ASKS)
    assert [row.conversation.agent for row in FollowUp.objects.all()] == [other]
    now_has(make_conversation(agent), {"lead_quality": "hot"})
    assert FollowUp.objects.count() == 2


def test_a_disabled_rule_adds_nothing(agent: Agent) -> None:
    make_follow_up_rule(enabled=False)
    now_has(make_conversation(agent), ASKS)
    assert not FollowUp.objects.exists()


def test_any_and_all_of_several_fields(agent: Agent) -> None:
    make_follow_up_rule(
        document={
            "any": [
                HOT,
                {
                    "all": [
                        {"field": "analysis.follow_up_needed", "value": True},
                        {"field": "duration_ms", "op": "gte", "value": 60_000},
                    ]
                },
            ]
        }
    )
    now_has(make_conversation(agent, duration_ms=1_000), ASKS)
    assert not FollowUp.objects.exists()
    now_has(make_conversation(agent, duration_ms=61_000), ASKS)
    now_has(make_conversation(agent, duration_ms=1_000), {"lead_quality": "hot"})
    assert FollowUp.objects.count() == 2


def test_a_rule_that_cannot_be_read_stops_no_result(agent: Agent) -> None:
    make_follow_up_rule(document={"field": "analysis.none_such", "value": True})
    now_has(make_conversation(agent), ASKS)
    assert not FollowUp.objects.exists()


def test_a_rerun_that_changes_the_field_keeps_the_follow_up(agent: Agent) -> None:
    conversation = make_conversation(agent)
    now_has(conversation, ASKS)
    now_has(conversation, {"follow_up_needed": False}, Trigger.RERUN)
    row = FollowUp.objects.get()
    assert row.is_open
    assert sorted((c.name, c.before, c.after) for c in row.changes()) == [
        ("follow_up_needed", True, False),
        ("follow_up_notes", ASKS["follow_up_notes"], None),
    ]


def test_without_the_field_it_is_one_query(
    agent: Agent, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    results = [
        NewResult(c.pk, agent.pk, "an_1", {"topic": "billing"}, Trigger.INITIAL)
        for c in make_conversations(agent, 5)
    ]
    with django_assert_num_queries(1):
        request_follow_ups(results)
    with django_assert_num_queries(0):
        request_follow_ups([])


def test_the_number_of_queries_does_not_grow(agent: Agent) -> None:
    make_follow_up_rule(document=HOT)

    def queries(how_many: int) -> int:
        conversations = make_conversations(agent, how_many)
        ids = [c.pk for c in conversations]
        hot = {"lead_quality": "hot"}
        Conversation.objects.filter(pk__in=ids).update(analysis_data=hot)
        with CaptureQueriesContext(
            connection,
        ) as captured:
            request_follow_ups(
                [NewResult(pk, agent.pk, "an_1", hot, Trigger.INITIAL) for pk in ids]
            )
        return len(captured)

    queries(1)  # reads the fields of the schemas, which are then cached
    assert queries(1) == queries(40) == 7
    assert FollowUp.objects.count() == 42


def test_webhooks_are_sent_where_the_result_may_send_them(agent: Agent) -> None:
    make_endpoint(events=["follow_up.added"])
    make_follow_up_rule(document=HOT, applies="all")
    quiet, loud = make_conversations(agent, 2)
    now_has(quiet, {"lead_quality": "hot"}, Trigger.BACKFILL, notifies=False)
    now_has(loud, {"lead_quality": "hot"}, Trigger.INITIAL)
    payload = json.loads(Event.objects.get().payload)
    assert payload["conversation_id"] == loud.public_id
    assert payload["follow_up"]["origin"] == "analysis"


def test_imported_results_add_and_restored_ones_do_not(agent: Agent) -> None:
    first, second = make_conversations(agent, 2)
    record_imported([Imported(first, ASKS), Imported(second, {"topic": "x"})], by=BY)
    assert FollowUp.objects.get().conversation == first
    FollowUp.objects.all().delete()
    record_imported([Imported(first, {"follow_up_needed": False})], by=BY)
    old = Analysis.objects.filter(conversation=first).order_by("pk")[0]
    restore(analysis=old, by=BY)
    assert not FollowUp.objects.exists()

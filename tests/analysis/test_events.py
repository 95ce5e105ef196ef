"""What goes out to webhooks, and when nothing does."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from django.db import transaction

from apps.accounts.actors import Actor
from apps.analysis import claims, record
from apps.analysis.auto_analysis import request_first
from apps.analysis.claims import AnalysisJob
from apps.analysis.effects import SideEffects
from apps.analysis.imports import Imported, record_imported, restore
from apps.analysis.model_call import AnalysisOutcome
from apps.analysis.models import Analysis
from apps.analysis.queues import FirstAnalysisQueue, RerunQueue
from apps.analysis.record import Recorded
from apps.analysis.services import request_rerun
from apps.contacts.models import Contact
from apps.conversations.models import Attributes, Conversation
from apps.webhooks.models import Delivery, Endpoint, Event, EventType
from tests.factories import make_agent, make_conversation, make_conversations
from tests.webhooks.deliveries import endpoint_to

pytestmark = pytest.mark.django_db

BY = Actor.system("tests")
URL = "https://example.com/hook"
ALL = SideEffects(webhooks="all")
CHANGED = SideEffects(webhooks="changed")


def nothing(recorded: Sequence[Recorded]) -> None:
    """These queues have no rows of their own."""


def rerun(conversation: Conversation, effects: SideEffects = ALL, **output: Any) -> None:
    """A rerun that found this; with ``error_code`` one that failed."""
    request_rerun(conversation=conversation, by=BY, side_effects=effects)
    record.record([outcome(RerunQueue().claim(1)[0], **output)], settle=nothing)


def first(conversation: Conversation, **output: Any) -> None:
    request_first(conversation_ids=[conversation.pk])
    record.record([outcome(FirstAnalysisQueue().claim(1)[0], **output)], settle=nothing)


def outcome(job: AnalysisJob, *, error_code: str = "", **output: Any) -> AnalysisOutcome:
    return AnalysisOutcome(
        job,
        output=None if error_code else output,
        error_code=error_code,
        error_message="It took too long." if error_code else "",
        requests=1,
    )


def told() -> list[dict[str, Any]]:
    """The payloads of all events, in order."""
    return [json.loads(p) for p in Event.objects.order_by("pk").values_list("payload", flat=True)]


def test_the_payload_says_what_interfaces_promise_in_that_order() -> None:
    endpoint_to(URL)
    contact = Contact.objects.create(phone_number="+15550134", first_name="Ada")
    conversation = make_conversation(
        make_agent(name="Billing line"), external_id="call-7", duration_ms=61000, contact=contact
    )
    Attributes.objects.filter(pk=conversation.pk).update(metadata={"order": "A-1"})

    first(conversation, call_summary="Charged twice.", call_successful=True)

    (event,) = Event.objects.all()
    (payload,) = told()
    analysis = Analysis.objects.select_related("agent_version__agent", "config").get()
    assert list(payload) == [
        "event", "conversation_id", "agent_id", "timestamp", "analysis", "trigger", "analysis_id",
        "agent_version", "config", "changed", "missing_required", "conversation",
    ]  # fmt: skip
    assert payload["event"] == event.type == "conversation.analyzed"
    assert payload["conversation_id"] == conversation.public_id
    assert payload["agent_id"] == analysis.agent_version.agent.public_id
    assert payload["timestamp"].endswith("Z")
    assert payload["analysis"] == {"call_summary": "Charged twice.", "call_successful": True}
    assert payload["trigger"] == "initial"
    assert payload["analysis_id"] == analysis.public_id
    assert payload["agent_version"] == analysis.agent_version.number
    assert analysis.config is not None
    assert payload["config"] == analysis.config.name
    assert payload["config"].startswith("sha256:")
    assert payload["changed"] == ["call_summary", "call_successful"]
    assert payload["missing_required"] == []
    assert payload["conversation"] == {
        "external_id": "call-7",
        "source": "api",
        "channel": "voice",
        "started_at": None,
        "duration_ms": 61000,
        "contact": {
            "phone_number": "+15550134",
            "email": None,
            "first_name": "Ada",
            "last_name": None,
        },
        "metadata": {"order": "A-1"},
    }


def test_values_keep_the_order_of_the_config_that_jsonb_loses() -> None:
    endpoint_to(URL)
    names = ["zebra", "apple", "mango_of_a_longer_name", "kiwi"]
    schema = {"type": "object", "properties": {n: {"type": "string"} for n in names}}
    agent = make_agent(schema=schema)

    first(make_conversation(agent), **dict.fromkeys(sorted(names), "x"))

    body = Event.objects.get().payload
    places = [body.index(f'"{name}":') for name in names]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("effects", "found", "events"),
    [
        (SideEffects(), "New.", 0),
        (SideEffects(), "Old.", 0),
        (CHANGED, "New.", 1),
        (CHANGED, "Old.", 0),
        (ALL, "New.", 1),
        (ALL, "Old.", 1),
    ],
)
def test_a_rerun_tells_what_was_asked_for(effects: SideEffects, found: str, events: int) -> None:
    conversation = make_conversation(make_agent())
    first(conversation, call_summary="Old.", call_successful=True)
    endpoint_to(URL)

    rerun(conversation, effects, call_summary=found, call_successful=True)

    assert [(e["trigger"], e["changed"]) for e in told()] == [
        ("rerun", ["call_summary"] if found == "New." else [])
    ] * events


@pytest.mark.parametrize(("effects", "events"), [(SideEffects(), 0), (CHANGED, 0), (ALL, 1)])
def test_a_failed_rerun_changed_nothing(effects: SideEffects, events: int) -> None:
    endpoint_to(URL)
    conversation = make_conversation(make_agent())

    rerun(conversation, effects, error_code="timeout")

    assert len(told()) == events


def test_a_failure_says_which() -> None:
    endpoint_to(URL, EventType.CONVERSATION_ANALYSIS_FAILED)
    conversation = make_conversation(make_agent())

    first(conversation, error_code="timeout")

    (payload,) = told()
    assert payload["event"] == "conversation.analysis_failed"
    assert (payload["error_code"], payload["error_message"]) == ("timeout", "It took too long.")
    assert payload["conversation_id"] == conversation.public_id
    assert "analysis" not in payload


def test_one_that_workers_died_of_is_told_too() -> None:
    endpoint_to(URL)
    conversation = make_conversation(make_agent())
    request_first(conversation_ids=[conversation.pk])
    (job,) = FirstAnalysisQueue().claim(1)

    claims.fail_abandoned([job.analysis_id])
    claims.fail_abandoned([job.analysis_id])

    assert [e["error_code"] for e in told()] == ["internal"]


def test_imported_results_are_told_with_their_trigger() -> None:
    endpoint_to(URL)
    conversation = make_conversation(make_agent())

    record_imported([Imported(conversation, {"b": 1, "a": 2})], by=BY)
    record_imported([Imported(conversation, {"b": 1, "a": 3})], by=BY)

    assert [(e["trigger"], e["changed"], e["config"]) for e in told()] == [
        ("imported", ["b", "a"], None),
        ("imported", ["a"], None),
    ]


@pytest.mark.parametrize(("effects", "events"), [(SideEffects(), 0), (CHANGED, 1), (ALL, 1)])
def test_a_restored_result_is_told_where_asked(effects: SideEffects, events: int) -> None:
    conversation = make_conversation(make_agent())
    first(conversation, call_summary="Old.")
    rerun(conversation, SideEffects(), call_summary="New.")
    endpoint_to(URL)

    restore(analysis=Analysis.objects.earliest("pk"), by=BY, side_effects=effects)

    assert [(e["trigger"], e["changed"]) for e in told()] == [
        ("restored", ["call_summary"])
    ] * events


def test_only_endpoints_of_the_agent_and_the_event_hear_of_it() -> None:
    agent, other = make_agent(), make_agent()
    mine = endpoint_to(URL, EventType.CONVERSATION_ANALYZED, agent=agent)
    everyone = endpoint_to(URL, EventType.CONVERSATION_ANALYZED)
    endpoint_to(URL, EventType.CONVERSATION_ANALYZED, agent=other)
    endpoint_to(URL, EventType.CONVERSATION_ENDED)

    first(make_conversation(agent), call_summary="Short.")

    assert set(Delivery.objects.values_list("endpoint", flat=True)) == {mine.pk, everyone.pk}
    assert Event.objects.count() == 1


def test_nothing_is_told_of_what_was_rolled_back() -> None:
    endpoint_to(URL)
    conversation = make_conversation(make_agent())
    with transaction.atomic():
        record_imported([Imported(conversation, {"a": 1})], by=BY)
        transaction.set_rollback(True)
    assert told() == []


def claimed(how_many: int) -> list[AnalysisJob]:
    conversations = make_conversations(make_agent(), how_many)
    request_first(conversation_ids=[c.pk for c in conversations])
    return FirstAnalysisQueue().claim(how_many)


RECORDING = 13 + 1
"""Statements that record a group: one each asks for mappings, CRMs, follow-ups, and alerts."""


def test_with_nobody_listening_a_group_pays_one_query(django_assert_num_queries: Any) -> None:
    outcomes = [outcome(job, call_summary="Short.") for job in claimed(20)]
    with django_assert_num_queries(RECORDING + 1):
        record.record(outcomes, settle=nothing)


def test_with_endpoints_a_group_costs_a_few_statements_more(
    django_assert_num_queries: Any,
) -> None:
    endpoint_to(URL)
    endpoint_to(URL)
    outcomes = [outcome(job, call_summary="Short.") for job in claimed(20)]
    # Who listens, the rows, the endpoints, events, deliveries
    with django_assert_num_queries(RECORDING + 5):
        record.record(outcomes, settle=nothing)
    assert Delivery.objects.count() == 40
    assert Endpoint.objects.count() == 2


def test_a_rerun_that_tells_nobody_pays_nothing(django_assert_num_queries: Any) -> None:
    endpoint_to(URL)
    conversations = make_conversations(make_agent(), 3)
    for conversation in conversations:
        request_rerun(conversation=conversation, by=BY)
    outcomes = [outcome(j, call_summary="x") for j in RerunQueue().claim(3)]
    with django_assert_num_queries(RECORDING):
        record.record(outcomes, settle=nothing)

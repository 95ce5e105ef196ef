"""What an analysis is asked with: drafts for reruns, the versions that answered for first ones."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry
from apps.agents import services as agents
from apps.agents.models import Agent, AgentVersion
from apps.analysis import services
from apps.analysis.auto_analysis import request_first
from apps.analysis.models import Analysis
from apps.analysis.services import (
    AlreadyRunning,
    DraftInvalid,
    UnableToRerun,
    plan_rerun,
    request_rerun,
)
from apps.conversations.models import Conversation, Transfer
from tests.factories import HELLO, edit_draft, edit_prompt, make_agent, make_conversation

BY = Actor.system("tests")
ONLY, BOTH = "only_destination_agent", "both_agents"

pytestmark = pytest.mark.django_db


def an_agent(name: str, *fields: str, **editor: Any) -> Agent:
    """A published V0 with these text fields, and a draft V1 that says otherwise."""
    properties = {field: {"type": "string", "description": f"{field} of V0"} for field in fields}
    schema = {"type": "object", "properties": properties}
    agent = make_agent(name=name, schema=schema, editor={"instructions": f"{name} V0", **editor})
    agents.publish(agent=agent, by=BY)
    newer = {field: {"type": "string", "description": f"{field} of V1"} for field in fields}
    edit_draft(
        agent,
        schema={"type": "object", "properties": newer},
        instructions=f"{name} V1",
        **editor,
    )
    return agent


def published(agent: Agent) -> AgentVersion:
    return agent.versions.with_config().get(number=0)


def draft(agent: Agent) -> AgentVersion:
    return agent.versions.with_config().get(published_at=None)


def handled_by(first: Agent, *then: tuple[str, Agent], **values: Any) -> Conversation:
    """A conversation that published versions answered, with its transfers and route."""
    chain = [first]
    for setting, agent in then:
        chain = [agent] if setting == ONLY else [*chain, agent]
    conversation = make_conversation(
        first,
        agent_version=published(first),
        route="+".join(str(agent.pk) for agent in chain),
        **values,
    )
    Transfer.objects.bulk_create(
        Transfer(
            conversation=conversation,
            position=position,
            after_message=position + 1,
            to_version=published(agent),
            setting=setting,
        )
        for position, (setting, agent) in enumerate(then)
    )
    return conversation


def told(analysis: Analysis) -> tuple[tuple[str, ...], dict[str, str]]:
    """The analysis prompts, and field → description, of an analysis's config."""
    assert analysis.config
    document = analysis.config.parsed()
    fields = {name: schema["description"] for name, schema in document.own_fields().items()}
    return document.instructions, fields


def first_of(conversation: Conversation) -> Analysis:
    assert request_first(conversation_ids=[conversation.pk]) == 1
    return conversation.analyses.get()


# Which config reads a conversation, and chains of transfers


def test_rerun_uses_the_draft_though_a_published_version_answered() -> None:
    agent = an_agent("A", "topic")
    conversation = handled_by(agent)

    analysis = request_rerun(conversation=conversation, by=BY)

    assert analysis.agent_version == draft(agent)
    assert str(analysis.agent_version) == "V1 draft"
    assert analysis.config == draft(agent).config
    assert told(analysis) == (("A V1",), {"topic": "topic of V1"})
    assert (analysis.trigger, analysis.requested_by) == ("rerun", BY.label)
    assert conversation.agent_version == published(agent)


def test_first_analysis_uses_the_version_that_answered() -> None:
    agent = an_agent("A", "topic")

    analysis = first_of(handled_by(agent))

    assert analysis.agent_version == published(agent)
    assert analysis.config == published(agent).config
    assert analysis.trigger == "initial"


CHAINS: list[tuple[Sequence[tuple[str, str]], str, tuple[str, ...], tuple[str, ...]]] = [
    # transfers, the agent whose prompts lead, agents whose instructions are sent, its fields
    ([(ONLY, "B")], "B", ("B",), ("b", "shared")),
    ([(BOTH, "B")], "B", ("A", "B"), ("a", "b", "shared")),
    ([(BOTH, "B"), (BOTH, "C")], "C", ("A", "B", "C"), ("a", "b", "c", "shared")),
    ([(BOTH, "B"), (ONLY, "C")], "C", ("C",), ("c", "shared")),
    ([(ONLY, "B"), (BOTH, "C")], "C", ("B", "C"), ("b", "c", "shared")),
    ([(ONLY, "B"), (ONLY, "A")], "A", ("A",), ("a", "shared")),
    ([(BOTH, "B"), (BOTH, "A")], "A", ("B", "A"), ("a", "b", "shared")),
    ([(ONLY, "B"), (BOTH, "A")], "A", ("B", "A"), ("a", "b", "shared")),
    ([(BOTH, "B"), (ONLY, "A")], "A", ("A",), ("a", "shared")),
]


@pytest.mark.parametrize(("transfers", "leads", "spoken", "fields"), CHAINS)
@pytest.mark.parametrize("kind", ["rerun", "first"])
def test_transfers_are_folded_along_the_chain(
    transfers: Sequence[tuple[str, str]],
    leads: str,
    spoken: tuple[str, ...],
    fields: tuple[str, ...],
    kind: str,
) -> None:
    known = {name: an_agent(name, name.lower(), "shared") for name in "ABC"}
    conversation = handled_by(known["A"], *((setting, known[name]) for setting, name in transfers))

    if kind == "rerun":
        analysis, version = request_rerun(conversation=conversation, by=BY), "V1"
    else:
        analysis, version = first_of(conversation), "V0"

    assert analysis.agent_version.agent == known[leads]
    assert analysis.agent_version.is_draft == (kind == "rerun")
    instructions, found = told(analysis)
    assert instructions == tuple(f"{name} {version}" for name in spoken)
    assert set(found) == set(fields)
    assert set(found.values()) == {f"{field} of {version}" for field in fields}
    assert analysis.config
    assert analysis.config.model == draft(known[leads]).config.model


def test_a_named_version_takes_the_place_of_its_agents_draft() -> None:
    first, second = an_agent("A", "a"), an_agent("B", "b")
    conversation = handled_by(first, (BOTH, second))

    plan = plan_rerun(conversation, version=published(first))

    assert plan.document.instructions == ("A V0", "B V1")
    assert plan.version == draft(second)


def test_a_version_of_an_agent_off_the_route_is_refused() -> None:
    first, second = an_agent("A", "a"), an_agent("B", "b")
    conversation = handled_by(first, (ONLY, second))

    with pytest.raises(UnableToRerun, match="A V0 can’t be used"):
        request_rerun(conversation=conversation, by=BY, version=published(first))


def test_editing_the_draft_afterwards_changes_nothing_in_a_rerun() -> None:
    agent = an_agent("A", "topic")
    conversation = handled_by(agent)
    analysis = request_rerun(conversation=conversation, by=BY)
    before = analysis.config_id

    edit_prompt(agent, "Write a summary of at most five words of the call.")

    analysis.refresh_from_db()
    assert analysis.config_id == before


# Refusals


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"status": "ongoing"}, "still in progress"),
        ({"status": "registered"}, "still in progress"),
        ({"status": "not_connected"}, "never connected"),
        ({"messages": ()}, "empty"),
        ({"messages": [{"role": "event", "content": "ringing"}]}, "no speech"),
    ],
)
def test_what_cannot_be_analysed_is_refused_with_the_reason(
    values: dict[str, Any], sentence: str
) -> None:
    conversation = make_conversation(make_agent(), **values)

    with pytest.raises(UnableToRerun, match=sentence) as refused:
        request_rerun(conversation=conversation, by=BY)

    assert (refused.value.code, refused.value.status) == ("not_analyzable", 409)
    assert not Analysis.objects.exists()


def test_a_second_rerun_is_refused_while_the_first_is_at_work() -> None:
    conversation = make_conversation(make_agent())
    request_rerun(conversation=conversation, by=BY)

    with pytest.raises(AlreadyRunning, match="already being analyzed") as refused:
        request_rerun(conversation=conversation, by=BY)

    assert refused.value.code == "already_running"
    assert conversation.analyses.count() == 1
    assert AuditEntry.objects.filter(verb="analysis.rerun").count() == 1


def test_a_draft_with_errors_is_refused_with_the_errors() -> None:
    agent = make_agent(name="Billing line")
    off = {name: {"enabled": False} for name in ("call_summary", "call_successful")}
    edit_draft(agent, built_ins={**off, "user_sentiment": {"enabled": False}})

    with pytest.raises(DraftInvalid, match="Billing line V0 draft has nothing to fill in") as no:
        request_rerun(conversation=make_conversation(agent), by=BY)

    assert no.value.code == "draft_invalid"


def test_a_model_that_is_switched_off_is_an_error_of_the_draft() -> None:
    agent = make_agent()
    model = draft(agent).config.model
    model.enabled = False
    model.save()

    with pytest.raises(DraftInvalid, match="switched off"):
        request_rerun(conversation=make_conversation(agent), by=BY)


@pytest.mark.django_db(transaction=True)
def test_many_clicks_at_once_start_one_rerun() -> None:
    conversation = make_conversation(make_agent())

    def click(_: int) -> bool:
        try:
            request_rerun(conversation=conversation, by=BY)
        except AlreadyRunning:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(8) as pool:
        started = list(pool.map(click, range(8)))

    assert sum(started) == 1
    assert Analysis.objects.count() == 1


def test_a_rerun_kicks_its_engine_once_it_is_committed(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    sent: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(
        "apps.core.tasks.send", lambda name, *, queue, kwargs: sent.append((name, kwargs))
    )
    monkeypatch.setattr("apps.core.tasks._wakes_at", {})
    with django_capture_on_commit_callbacks(execute=True):
        request_rerun(conversation=make_conversation(make_agent()), by=BY)
        assert sent == []

    assert sent == [("analysis.run_queue", {"priority": "interactive"})]


# First analyses and their reasons


def state_of(conversation: Conversation) -> tuple[str, str]:
    conversation.refresh_from_db()
    return conversation.analysis_state, conversation.analysis_reason


@pytest.mark.parametrize(
    ("version", "values", "expected"),
    [
        ({}, {}, ("pending", "")),
        ({}, {"status": "error"}, ("pending", "")),
        ({}, {"status": "ongoing"}, ("none", "not_ended")),
        ({}, {"status": "not_connected"}, ("skipped", "not_connected")),
        ({}, {"messages": ()}, ("skipped", "empty")),
        ({}, {"messages": [{"role": "dtmf", "content": "1"}]}, ("skipped", "no_speech")),
        ({"post_analysis_enabled": False}, {}, ("skipped", "disabled")),
        ({"sample_percent": Decimal(0)}, {}, ("skipped", "sampled_out")),
        ({"min_seconds": 30}, {"duration_ms": 29_999}, ("skipped", "too_short")),
        ({"min_seconds": 30}, {"duration_ms": 30_000}, ("pending", "")),
        ({"min_seconds": 30}, {"duration_ms": None}, ("pending", "")),
        ({"min_messages": 4}, {}, ("skipped", "too_short")),
        ({"min_messages": 3}, {}, ("pending", "")),
    ],
)
def test_first_analysis_or_the_exact_reason(
    version: dict[str, Any], values: dict[str, Any], expected: tuple[str, str]
) -> None:
    conversation = make_conversation(make_agent(**version), **values)

    queued = request_first(conversation_ids=[conversation.pk])

    assert state_of(conversation) == expected
    assert queued == Analysis.objects.count() == (1 if expected[0] == "pending" else 0)


def test_first_analysis_of_agents_that_nobody_set_up_or_that_are_deactivated() -> None:
    unknown, retired = make_agent(), make_agent()
    Agent.objects.filter(pk=unknown.pk).update(unconfigured=True)
    Agent.objects.filter(pk=retired.pk).update(deactivated_at="2025-01-01T00:00Z")
    made = [make_conversation(agent) for agent in (unknown, retired)]

    assert request_first(conversation_ids=[c.pk for c in made]) == 0

    assert state_of(made[0]) == ("skipped", "unconfigured")
    assert state_of(made[1]) == ("skipped", "disabled")


def test_asking_twice_queues_once() -> None:
    conversation = make_conversation(make_agent())

    assert request_first(conversation_ids=[conversation.pk]) == 1
    assert request_first(conversation_ids=[conversation.pk]) == 0
    assert Analysis.objects.count() == 1


def test_first_analyses_cost_few_queries_whatever_their_number(
    django_assert_max_num_queries: Any,
) -> None:
    agent, other = an_agent("A", "a"), an_agent("B", "b")
    made = [handled_by(agent, (BOTH, other)) for _ in range(12)]

    with django_assert_max_num_queries(15):
        request_first(conversation_ids=[c.pk for c in made])

    assert Analysis.objects.values("config").distinct().count() == 1


def test_priorities_with_work_are_those_that_wait() -> None:
    assert services.priorities_with_work() == []
    request_rerun(conversation=make_conversation(make_agent()), by=BY)
    request_first(conversation_ids=[make_conversation(make_agent(), messages=HELLO).pk])

    assert sorted(services.priorities_with_work()) == ["interactive", "live"]


def test_a_conversation_that_another_analysis_reads_does_not_wait_for_one_that_is_not_there() -> (
    None
):
    conversation = make_conversation(make_agent())
    request_rerun(conversation=conversation, by=BY)
    assert request_first(conversation_ids=[conversation.pk]) == 0
    conversation.refresh_from_db()
    assert conversation.analysis_state == "none"
    assert conversation.analyses.count() == 1

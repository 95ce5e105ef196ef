"""One rule of merging for every receiver, and what happens when a conversation has come in."""

import json
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from django.db import OperationalError, connection
from psycopg.errors import DeadlockDetected

from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.agents.services import create_agent, publish
from apps.analysis.models import Analysis
from apps.contacts.models import Contact
from apps.conversations import services
from apps.conversations.filters import matching
from apps.conversations.inputs import ConversationInput, LineRefused
from apps.conversations.models import Attributes, Conversation, SearchText, Transcript, Transfer
from apps.intake.files import DefaultAgents
from apps.intake.services import IngestReport, ingest, ingest_one

pytestmark = pytest.mark.django_db

BY = Actor.system("tests")


@pytest.fixture
def agent() -> Agent:
    return create_agent(name="Billing line", channel="voice", by=BY)


def line(agent: Agent | None, **values: Any) -> dict[str, Any]:
    named = {"agent_id": agent.public_id} if agent else {}
    messages = [
        {"role": "agent", "content": "Hello, how can I help?"},
        {"role": "user", "content": "I was charged twice"},
    ]
    return {"channel": "voice", "external_id": "x", "messages": messages, **named, **values}


def take(*lines: Any, **options: Any) -> IngestReport:
    return ingest(lines=lines, by=BY, source="import", **options)


def counts(report: IngestReport) -> tuple[int, int, int, int]:
    return report.accepted, report.updated, report.unchanged, report.refused


def only() -> Conversation:
    return Conversation.objects.select_related("transcript", "attributes").get()


def said(conversation: Conversation) -> list[str]:
    return [m["content"] for m in conversation.transcript.messages]


def test_everything_is_stored(agent: Agent) -> None:
    report = take(
        line(
            agent,
            started_at="2025-03-01T10:00:00Z",
            ended_at="2025-03-01T10:01:01Z",
            metadata={"plan": "pro"},
            dynamic_variables={"name": "Ada"},
            from_number="+15550100",
            contact={"phone_number": "+15550100", "first_name": "Ada"},
            weather="fine",
        )
    )
    assert counts(report) == (1, 0, 0, 0)
    stored = only()
    assert stored.duration_ms == 61_000
    assert stored.sort_at == stored.started_at == datetime(2025, 3, 1, 10, tzinfo=UTC)
    assert stored.attributes.metadata == {"plan": "pro", "weather": "fine"}
    assert stored.attributes.dynamic_variables == {"name": "Ada"}
    assert (stored.message_count, stored.has_speech) == (2, True)
    assert stored.prompt_tokens_est > 5
    assert stored.route == str(agent.pk)
    assert stored.contact is not None
    assert stored.contact.first_name == "Ada"
    assert stored.agent_version.is_draft
    assert matching(channel="voice", params={"q": "charged twice"}).get() == stored
    assert matching(channel="voice", params={"metadata.plan": "pro"}).get() == stored


def test_the_same_again_changes_nothing(agent: Agent) -> None:
    whole = line(
        agent,
        started_at="2025-03-01T10:00:00Z",
        contact={"phone_number": "+15550100"},
        transfers=[{"after_message": 1, "to_agent_id": agent.public_id}],
        analysis={"call_summary": "s"},
    )
    take(whole)
    before = list(Conversation.objects.values()), list(Transfer.objects.values())
    assert counts(take(whole)) == (0, 0, 1, 0)
    publish(agent=agent, by=BY)  # a new version does not make old data new
    assert counts(take(whole, whole)) == (0, 0, 2, 0)
    assert before == (list(Conversation.objects.values()), list(Transfer.objects.values()))
    assert Analysis.objects.count() == 1
    assert Contact.objects.count() == 1


def test_more_data_is_added_and_the_status_moves_forward_only(agent: Agent) -> None:
    first = line(agent, status="ongoing", metadata={"a": 1, "b": 1})
    assert counts(take(first)) == (1, 0, 0, 0)
    assert only().analysis_reason == "not_ended"
    more = line(
        agent,
        status="ended",
        duration_ms=5_000,
        metadata={"b": 2},
        messages=[*first["messages"], {"role": "agent", "content": "One moment"}],
    )
    assert counts(take(more)) == (0, 1, 0, 0)
    late = line(agent, status="ongoing", duration_ms=1, language="en", metadata={"b": 3, "c": 3})
    assert counts(take(late)) == (0, 1, 0, 0)
    stored = only()
    assert (stored.status, stored.duration_ms, stored.language) == ("ended", 5_000, "en")
    assert stored.attributes.metadata == {"a": 1, "b": 2, "c": 3}
    assert said(stored)[-1] == "One moment"
    assert stored.message_count == 3
    assert stored.analysis_state == "pending"
    assert matching(channel="voice", params={"q": "moment"}).exists()


def test_a_shorter_list_deletes_nothing_and_times_are_filled_in(agent: Agent) -> None:
    messages = line(agent)["messages"]
    take(line(agent))
    assert counts(take(line(agent, messages=messages[:1]))) == (0, 0, 1, 0)
    assert counts(take(line(agent, messages=[{"role": "user", "content": "?"}]))) == (0, 0, 1, 0)
    assert len(said(only())) == 2
    timed = [{**messages[0], "at": "2025-03-01T10:00:00Z"}, messages[1]]
    assert counts(take(line(agent, messages=timed))) == (0, 1, 0, 0)
    assert counts(take(line(agent))) == (0, 0, 1, 0)
    assert "at" in only().transcript.messages[0]
    corrected = [messages[0], {"role": "user", "content": "I was charged price"}]
    assert counts(take(line(agent, messages=corrected))) == (0, 1, 0, 0)
    assert said(only())[-1] == "I was charged price"


def test_new_messages_make_a_result_stale(agent: Agent) -> None:
    take(line(agent, analysis={"call_summary": "s"}))
    assert not only().stale
    more = [*line(agent)["messages"], {"role": "user", "content": "and again"}]
    take(line(agent, messages=more))
    assert only().stale
    pending = Analysis.objects.get(conversation=only(), state="pending")
    assert pending.trigger == "initial"
    assert only().analysis_state == "succeeded"  # the old result stands until then


def test_what_was_left_out_is_looked_at_again(agent: Agent) -> None:
    take(line(agent, messages=[]))
    assert (only().analysis_state, only().analysis_reason) == ("skipped", "empty")
    take(line(agent))
    assert only().analysis_state == "pending"


def test_imported_results(agent: Agent) -> None:
    analysis = {"call_summary": "Charged twice", "call_successful": False, "extra": [1]}
    report = take(line(agent, analysis=analysis))
    assert report.to_analyze == 0
    stored = only()
    assert (stored.summary, stored.successful) == ("Charged twice", False)
    assert (stored.analysis_trigger, stored.analysis_data) == ("imported", analysis)
    assert counts(take(line(agent, analysis={"call_summary": "Other"}))) == (0, 1, 0, 0)
    assert only().summary == "Other"
    # what Debrief made itself is not replaced by a platform's
    config = only().agent_version.config
    Analysis.objects.current().update(trigger="rerun", config=config)
    assert counts(take(line(agent, analysis={"call_summary": "Third"}))) == (0, 0, 1, 0)
    assert only().summary == "Other"


def test_versions(agent: Agent) -> None:
    publish(agent=agent, by=BY)
    take(line(agent, external_id="newest"), line(agent, external_id="given", agent_version=1))
    numbers = dict(Conversation.objects.values_list("external_id", "agent_version__number"))
    assert numbers == {"newest": 0, "given": 1}
    report = take(line(agent, external_id="none", agent_version=7))
    assert report.errors[0].code == "unknown_version"


def test_routes() -> None:
    a, b, c = (create_agent(name=n, channel="voice", by=BY) for n in "ABC")

    def to(agent: Agent, setting: str) -> dict[str, Any]:
        return {
            "after_message": 1,
            "to_agent_id": agent.public_id,
            "post_call_analysis_setting": setting,
        }

    both, only_destination = "both_agents", "only_destination_agent"
    chains = {
        "ab": ([to(b, both)], [a, b]),
        "aB": ([to(b, only_destination)], [b]),
        "abc": ([to(b, both), to(c, both)], [a, b, c]),
        "aBc": ([to(b, only_destination), to(c, both)], [b, c]),
        "abC": ([to(b, both), to(c, only_destination)], [c]),
        "aba": ([to(b, both), to(a, both)], [a, b, a]),
    }
    take(*(line(a, external_id=name, transfers=t) for name, (t, _) in chains.items()))
    routes = dict(Conversation.objects.values_list("external_id", "route"))
    assert routes == {
        name: "+".join(str(agent.pk) for agent in route) for name, (_, route) in chains.items()
    }
    # another transfer is added to those there are
    take(line(a, external_id="ab", transfers=[to(b, both), to(c, only_destination)]))
    assert Conversation.objects.get(external_id="ab").route == str(c.pk)
    assert Transfer.objects.filter(conversation__external_id="ab").count() == 2


def test_a_bad_line_spoils_nothing(agent: Agent) -> None:
    chat = create_agent(name="Chat", channel="chat", by=BY)
    refused: list[tuple[int, Any]] = []
    report = take(
        json.dumps(line(agent, external_id="1")),
        "{broken",
        "",
        line(agent, external_id="2", agent_id="agt_nobody"),
        line(agent, external_id="3", agent_id=chat.public_id),
        line(None, external_id="4"),
        line(agent, external_id="5", metadata={"number": 10**400}),
        json.dumps(line(agent, external_id="6")).encode(),
        on_refused=lambda refusal, text: refused.append((refusal.line, text)),
    )
    assert counts(report) == (3, 0, 0, 4)
    assert [(error.line, error.code) for error in report.errors] == [
        (2, "not_json"),
        (4, "unknown_agent"),
        (5, "channel_mismatch"),
        (6, "missing_field"),
    ]
    assert refused[0] == (2, "{broken")
    assert set(Conversation.objects.values_list("external_id", flat=True)) == {"1", "5", "6"}


def test_what_the_database_refuses_is_one_line(agent: Agent) -> None:
    """jsonb holds numbers of 131,072 digits before the point, and no more."""
    report = take(
        line(agent, external_id="1"),
        line(agent, external_id="2", metadata={"number": float("1e308")}),
        line(agent, external_id="3", metadata={"key" * 30_000: 1}),
        line(agent, external_id="4"),
    )
    assert report.refused == 0
    assert Conversation.objects.count() == 4


def test_the_same_id_twice_in_one_upload(agent: Agent) -> None:
    more = [*line(agent)["messages"], {"role": "user", "content": "again"}]
    report = take(line(agent), line(agent), line(agent, messages=more))
    assert counts(report) == (1, 1, 1, 0)
    assert len(said(only())) == 3


def test_without_an_external_id_each_is_its_own(agent: Agent) -> None:
    take(line(agent, external_id=None), line(agent, external_id=""))
    assert Conversation.objects.count() == 2


def test_the_channel_of_a_conversation_stays(agent: Agent) -> None:
    chat = create_agent(name="Chat", channel="chat", by=BY)
    take(line(agent))
    report = take(line(chat, channel="chat"))
    assert "is a voice conversation already" in report.errors[0].message


def test_contacts_are_one_by_number_and_by_email(agent: Agent) -> None:
    people: list[dict[str, Any]] = [
        {"phone_number": "+1 555 0100"},
        {"phone_number": "+15550100", "email": "ada@example.com", "first_name": "Ada"},
        {"email": "ADA@example.com", "last_name": "Lovelace"},
        {"phone_number": "+15550101", "email": "ada@example.com"},
        {"first_name": "Nobody"},
    ]
    take(*(line(agent, external_id=str(n), contact=p) for n, p in enumerate(people)))
    again = [line(agent, external_id=f"again {n}", contact=p) for n, p in enumerate(people)]
    take(*again)
    assert Contact.objects.count() == 2
    ada = Contact.objects.get(phone_number="+15550100")
    assert (ada.email, ada.name) == ("ada@example.com", "Ada Lovelace")
    assert Contact.objects.get(phone_number="+15550101").email is None


def test_default_agents(agent: Agent) -> None:
    agents = DefaultAgents("import", BY)
    take(line(None), line(None, external_id="chat", channel="chat"), default_agents=agents)
    take(line(None, external_id="z"), default_agents=DefaultAgents("import", BY))
    assert set(Agent.objects.values_list("name", flat=True)) == {
        "Billing line",
        "Imported calls",
        "Imported chats",
    }
    assert Conversation.objects.filter(agent__name="Imported calls").count() == 2


def test_nobody_spoke(agent: Agent) -> None:
    silent = [{"role": "agent", "content": " "}, {"role": "user", "content": "[noise] <unk>"}]
    take(line(agent, messages=[*silent, {"role": "tool_result", "content": "{}"}]))
    assert only().analysis_reason == "no_speech"


def test_five_million_characters(agent: Agent) -> None:
    words = " ".join(f"word{n}" for n in range(60_000))
    text = (words * 12)[:5_000_000]
    take(line(agent, messages=[{"role": "user", "content": text}]))
    assert len(only().transcript.messages[0]["content"]) == 5_000_000
    assert matching(channel="voice", params={"q": "word17"}).exists()


def test_one_conversation_all_or_nothing(agent: Agent) -> None:
    stored = ingest_one(line=line(agent), by=BY)
    assert stored.outcome == "accepted"
    assert ingest_one(line=line(agent), by=BY).outcome == "unchanged"
    with pytest.raises(LineRefused):
        ingest_one(line=line(agent, agent_id="agt_none"), by=BY)


def test_what_the_database_rejects_of_one_is_named(agent: Agent) -> None:
    sent = ConversationInput(
        channel="voice", agent=agent.public_id, recording_url="ftp://example.com"
    )
    with pytest.raises(LineRefused) as refused:
        ingest_one(line=sent, by=BY)
    assert refused.value.code == "not_storable"
    assert not Conversation.objects.exists()


def test_one_that_another_process_stores_meanwhile_is_merged(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look comes too early, the row breaks the unique key, and the second look merges."""
    stored = ingest_one(line=line(agent), by=BY)
    existing, looks = services._existing, count()
    monkeypatch.setattr(services, "_existing", lambda lines: existing(lines) if next(looks) else {})
    again = ingest_one(line=line(agent, metadata={"plan": "gold"}), by=BY)
    assert (again.outcome, again.conversation) == ("updated", stored.conversation)
    assert only().attributes.metadata == {"plan": "gold"}


def test_side_rows_are_always_there(agent: Agent) -> None:
    take(line(agent), line(agent, external_id="y", messages=[]))
    for model in (Attributes, Transcript, SearchText):
        assert model._default_manager.count() == 2


def test_a_group_costs_a_fixed_number_of_queries(
    agent: Agent, django_assert_max_num_queries: Any
) -> None:
    take(line(agent, external_id="warm"))
    lines = [line(agent, external_id=str(n)) for n in range(100)]
    with django_assert_max_num_queries(26):
        take(*lines)


@pytest.mark.parametrize(
    "broken",
    ["apps.intake.platform_analysis.record_imported", "apps.conversations.services._insert"],
)
def test_a_database_that_is_busy_is_no_fault_of_the_line(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create_agent(name="Front desk", channel="voice", by=BY)
    said = {"agent_id": made.public_id, "channel": "voice", "analysis": {"call_summary": "Fine."}}

    def deadlock(*_: object, **__: object) -> None:
        raise OperationalError("deadlock detected") from DeadlockDetected("deadlock detected")

    with monkeypatch.context() as patched:
        patched.setattr(broken, deadlock)
        with pytest.raises(OperationalError):
            ingest_one(line={**said, "messages": [{"role": "user", "content": "Hi."}]}, by=BY)
    assert not Conversation.objects.exists()


def test_a_result_that_the_database_rejects_is_refused_without_its_words(agent: Agent) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE analysis_analysis ADD CONSTRAINT broken"
            " CHECK (output ->> 'summary' IS DISTINCT FROM 'Call +1 202 555 0199')"
        )
    analysis = {"summary": "Call +1 202 555 0199"}

    report = take(line(agent, analysis=analysis), line(agent, external_id="y"))

    assert [(error.line, error.code, error.message) for error in report.errors] == [
        (
            1,
            "invalid_value",
            "Couldn't store analysis: the database rejected one of its values. The rest is stored.",
        )
    ]
    assert Conversation.objects.count() == 2

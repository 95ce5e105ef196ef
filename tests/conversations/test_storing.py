"""Storing by COPY: what the database refuses, and two senders at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import close_old_connections, connection

from apps.agents.models import Agent
from apps.conversations.inputs import ContactInput, ConversationInput, LineRefused
from apps.conversations.models import Conversation, Transcript
from apps.conversations.services import Result, Stored, StoreOutcome, store_conversations
from tests.factories import make_draft


def line(agent: Agent, external_id: str, **values: object) -> ConversationInput:
    messages = [{"role": "user", "content": 'Tab\t, line\n, \\ and "quotes" \\N'}]
    return ConversationInput(
        channel="voice",
        agent=agent.public_id,
        external_id=external_id,
        messages=messages,
        **values,  # type: ignore[arg-type]  # whatever a test gives
    )


@pytest.mark.django_db
def test_what_the_database_refuses_spoils_no_neighbor() -> None:
    agent = make_draft().agent
    results = store_conversations(
        lines=[
            line(agent, "1"),
            line(agent, "2", recording_url="ftp://example.com"),
            line(agent, "3"),
        ]
    )
    first, refused, last = results
    assert isinstance(refused, LineRefused)
    assert refused.code == "not_storable"
    assert refused.message == (
        "Couldn't store this conversation: the database rejected one of its values."
    )
    for result in (first, last):
        assert not isinstance(result, LineRefused)
        assert result.outcome == StoreOutcome.ACCEPTED
    assert Conversation.objects.count() == 2


@pytest.mark.django_db
def test_text_comes_back_as_it_went() -> None:
    (stored,) = store_conversations(lines=[line(make_draft().agent, "\\N")])
    assert isinstance(stored, Stored)
    fresh = Conversation.objects.get(external_id="\\N")
    assert fresh == stored.conversation
    (message,) = Transcript.objects.get(conversation=fresh).messages
    assert message["content"] == 'Tab\t, line\n, \\ and "quotes" \\N'
    later = Conversation.objects.create(
        external_id="by ORM",
        channel="voice",
        agent=fresh.agent,
        agent_version=fresh.agent_version,
        route=fresh.route,
    )
    assert later.pk > fresh.pk


@pytest.mark.django_db(transaction=True)
def test_two_senders_at_once_store_each_conversation_once() -> None:
    agent = make_draft().agent
    contact = ContactInput(phone_number="+15550100")

    def store(_: int) -> list[Result]:
        close_old_connections()
        try:
            lines = [line(agent, str(n), contact=contact) for n in range(60)]
            return store_conversations(lines=lines)
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as threads:
        results = [result for found in threads.map(store, range(3)) for result in found]
    assert Conversation.objects.count() == 60
    assert not any(isinstance(result, LineRefused) for result in results)
    outcomes = [r.outcome for r in results if not isinstance(r, LineRefused)]
    assert outcomes.count(StoreOutcome.ACCEPTED) == 60

"""Accumulated texts are summarized once per contact and field, and both stay where that fails."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.analysis.models import Reservation
from apps.contacts.models import Contact
from apps.conversations.models import Conversation
from apps.conversations.results import NewResult
from apps.llm.caps import Caps, set_caps
from apps.llm.client import LlmClient
from apps.llm.failed_request import RetryPolicy
from apps.llm.models import Purpose, Usage
from apps.llm.reservations import cap_balances, reserved_by_agent
from apps.mappings.contributions import contribute
from apps.mappings.marked_contacts import fold_marked, values_of
from apps.mappings.models import Summary
from apps.mappings.summaries import SummaryOutcome, SummaryQueue, work_waits
from apps.privacy.erasure import erase
from apps.work.runner import Runner
from tests.factories import (
    make_agent,
    make_contact,
    make_contact_field,
    make_conversation,
    make_mapping,
    make_model,
)
from tests.fakes.fixtures import FakeLLM

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fake_key")]


@pytest.fixture
def contact(fake_llm: FakeLLM) -> Contact:
    """A contact of three calls with a note each."""
    make_contact_field("note")
    make_mapping("note", "note", mode="accumulate")
    model = make_model(base_url=fake_llm.url, api_key_env="FAKE_API_KEY")
    contact = make_contact()
    three_notes(make_agent(model=model), contact)
    return contact


def three_notes(agent: Agent, contact: Contact) -> None:
    """Let three calls contribute a note each."""
    config = agent.versions.drafts().get().config
    for day in range(3):
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)
        call = make_conversation(agent, contact=contact, sort_at=at, analysis_config=config)
        contribute([NewResult(call.pk, agent.pk, "an_1", {"note": f"Fact {day}."})])
        fold_marked()


def summarize() -> int:
    """Let a runner make all summaries, as if their wait for further texts was over."""
    Summary.objects.filter(state="pending").update(not_before=datetime(2026, 1, 1, tzinfo=UTC))

    async def work() -> int:
        client = LlmClient(retry=RetryPolicy(attempts=1))
        try:
            return await Runner(queue=SummaryQueue(), idle=0.0).run(client)
        finally:
            await client.aclose()

    done = asyncio.run(work())
    while fold_marked():
        pass
    return done


def note(contact: Contact) -> object:
    return Contact.objects.get(pk=contact.pk).fields["note"]


def test_three_texts_cost_one_request_and_become_one(contact: Contact, fake_llm: FakeLLM) -> None:
    assert note(contact) == "Fact 0.\n\nFact 1.\n\nFact 2."
    assert not work_waits()  # further texts may come
    assert summarize() == 1
    assert fake_llm.total == 1
    summary = Summary.objects.get()
    assert (summary.state, note(contact)) == ("done", summary.text)
    assert values_of(Contact.objects.get(pk=contact.pk))["note"].is_summary
    spent = Usage.objects.get()
    assert (spent.purpose, spent.requests) == (Purpose.ACCUMULATE, 1)
    assert summarize() == 0


def test_where_the_model_fails_all_texts_stay_and_it_is_retried(
    contact: Contact, fake_llm: FakeLLM
) -> None:
    fake_llm.always("500")
    summarize()
    waiting = Summary.objects.get()
    assert (waiting.state, waiting.tries) == ("pending", 1)
    assert waiting.not_before > datetime.now(UTC)
    assert note(contact) == "Fact 0.\n\nFact 1.\n\nFact 2."
    fake_llm.always("ok")
    summarize()
    assert note(contact) == Summary.objects.get(state="done").text


def erase_the_first_call() -> None:
    """Erase the conversation that contributed "Fact 0."."""
    calls = Conversation.objects.order_by("sort_at")
    first = Conversation.objects.filter(pk=calls[0].pk)
    assert erase(conversations=first, by=Actor.system("tests"), why="x") == 1


def texts() -> str:
    """Everything that contacts and summaries hold, as one text."""
    held = [*Contact.objects.values_list("fields", flat=True)]
    return json.dumps([held, [*Summary.objects.values_list("text", flat=True)]])


def test_an_erasure_during_a_request_leaves_nothing_of_the_conversation(
    contact: Contact,
) -> None:
    Summary.objects.update(not_before=datetime(2026, 1, 1, tzinfo=UTC))
    queue = SummaryQueue()
    (job,) = queue.claim(1)
    assert "Fact 0." in job.texts

    async def ask() -> SummaryOutcome:
        client = LlmClient(retry=RetryPolicy(attempts=1))
        try:
            return await queue.perform(job, client, lambda: None)
        finally:
            await client.aclose()

    outcome = asyncio.run(ask())
    erase_the_first_call()
    queue.record([replace(outcome, text=" ".join(job.texts))])
    while fold_marked():
        pass
    assert "Fact 0." not in texts()
    assert note(contact) == "Fact 1.\n\nFact 2."
    assert Usage.objects.get().requests == 1  # it was paid for

    assert summarize() == 1  # of the texts that are left
    assert note(contact) == Summary.objects.get(state="done").text


@pytest.mark.parametrize("left", [1, 2])
def test_an_erasure_takes_the_summary_with_it(contact: Contact, left: int) -> None:
    summarize()
    Summary.objects.update(text="Fact 0. And more.")
    while Conversation.objects.count() > left:
        erase_the_first_call()
    assert "Fact 0." not in texts()
    assert note(contact) == "\n\n".join(f"Fact {day}." for day in range(3 - left, 3))
    assert Summary.objects.count() == (left > 1)


def test_near_a_cap_summaries_are_requested_one_at_a_time(contact: Contact) -> None:
    """Their reservations count for all other work, too."""
    agent = Agent.objects.get()
    for number in range(2):
        three_notes(agent, make_contact(phone_number=f"+1202555019{number}"))
    Summary.objects.update(not_before=datetime(2026, 1, 1, tzinfo=UTC))
    queue, by = SummaryQueue(), Actor.system("tests")
    set_caps({"": Caps(Decimal("0.0001"))}, by=by)

    assert [len(queue.claim(8)), len(queue.claim(8))] == [1, 0]
    reserved = Summary.objects.get(state="running").reserved
    assert reserved
    assert [(one.balance.reserved, one.balance.left > 0) for one in cap_balances()] == [
        (reserved, False)
    ]
    Summary.objects.filter(state="running").update(lease_until=datetime(2026, 1, 1, tzinfo=UTC))
    assert len(queue.claim(8)) == 1  # a dead worker holds nothing up
    set_caps({"": Caps(Decimal(5))}, by=by)
    jobs = queue.claim(8)
    assert len(jobs) == 2
    queue.hand_back(jobs)
    assert Summary.objects.exclude(reserved=None).count() == 1


def test_a_recorded_summary_holds_no_money(contact: Contact) -> None:
    summarize()
    assert not reserved_by_agent()


def test_work_in_progress_holds_summaries_back(contact: Contact) -> None:
    Summary.objects.update(not_before=datetime(2026, 1, 1, tzinfo=UTC))
    set_caps({"": Caps(Decimal("0.01"))}, by=Actor.system("tests"))
    Reservation.objects.create(holder="sh_1", amount=Decimal("0.01"))

    assert SummaryQueue().claim(8) == []
    waiting = Summary.objects.get()
    assert (waiting.state, waiting.attempts, waiting.reserved) == ("pending", 0, None)

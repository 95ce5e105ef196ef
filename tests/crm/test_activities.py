"""A conversation is logged once per connection; another result updates its activity."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.accounts.actors import Actor
from apps.analysis.imports import Imported, record_imported
from apps.contacts.models import Contact
from apps.conversations.models import Conversation
from apps.crm.activities import conversations_analyzed
from apps.crm.models import Push, RemoteContact
from apps.privacy.erasure import erase
from tests.crm.pushing import change, push, states
from tests.factories import make_agent, make_connection, make_contact, make_conversation
from tests.fakes.receiver import Answer, Receiver

pytestmark = pytest.mark.django_db
BY = Actor.system("tests")


def later() -> Any:
    return timezone.now() + timedelta(minutes=1)


def analyzed(contact: Contact | None, **values: Any) -> Conversation:
    conversation = make_conversation(make_agent(), contact=contact, duration_ms=61_000, **values)
    record(conversation, "Wants a refund.")
    return conversation


def record(conversation: Conversation, summary: str) -> None:
    record_imported(
        [Imported(conversation, {"call_summary": summary, "call_outcome": "Refund"})], by=BY
    )
    Conversation.objects.filter(pk=conversation.pk).update(summary=summary, outcome="Refund")


def test_a_first_result_is_logged_once_with_a_link(receiver: Receiver) -> None:
    make_connection(receiver.url, log_conversations=True, site_url="https://debrief.example/")
    make_connection(receiver.url)  # doesn't log
    contact = make_contact(first_name="Ada")
    conversation = analyzed(contact)
    assert push() == 0  # the fold of the contact comes first
    assert push(later) == 1
    (one,) = receiver.received
    assert one.verified
    payload = one.payload
    assert payload["contact"]["id"] == contact.public_id
    assert payload | {"contact": None, "started_at": None} == {
        "event": "conversation.logged",
        "conversation_id": conversation.public_id,
        "contact": None,
        "channel": "voice",
        "direction": None,
        "started_at": None,
        "duration_ms": 61_000,
        "summary": "Wants a refund.",
        "outcome": "Refund",
        "url": f"https://debrief.example/conversations/{conversation.public_id}/",
        "updated": False,
    }


def test_another_result_updates_the_activity_and_an_equal_one_sends_nothing(
    receiver: Receiver,
) -> None:
    make_connection(receiver.url, log_conversations=True)
    conversation = analyzed(make_contact())
    push(later)
    record(conversation, "Wants a refund.")
    push(later)
    assert len(receiver.received) == 1
    record(conversation, "Wants two refunds.")
    push(later)
    first, second = receiver.received
    assert (second.payload["summary"], second.payload["updated"]) == ("Wants two refunds.", True)
    assert first.id != second.id
    assert states() == {"sent": 1}


def test_a_rerun_of_a_conversation_that_was_never_logged_logs_nothing(receiver: Receiver) -> None:
    conversation = analyzed(make_contact())
    make_connection(receiver.url, log_conversations=True)
    record(conversation, "Again.")
    assert push(later) == 0
    assert not Push.objects.exists()


def test_without_a_contact_or_without_the_switch_nothing_is_logged(receiver: Receiver) -> None:
    make_connection(receiver.url, log_conversations=True)
    analyzed(None)
    assert not Push.objects.exists()


def test_without_a_connection_that_logs_it_is_one_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    make_connection()
    with django_assert_num_queries(1):
        conversations_analyzed(first=[1, 2], again=[3])


def test_a_parked_activity_is_sent_once_its_contact_has_a_record(receiver: Receiver) -> None:
    crm = make_connection(receiver.url, log_conversations=True)
    contact = make_contact()
    conversation = analyzed(contact)
    receiver.always(Answer(404))
    push(later)
    assert states() == {"parked": 1}
    receiver.always(Answer())
    push(later)
    assert states() == {"parked": 1}
    from apps.crm.record import _Group, _write_contacts

    group = _Group({}, contacts={(crm.pk, contact.pk): {"remote_id": "17", "last_sent": {}}})
    _write_contacts(group)
    assert RemoteContact.objects.get().remote_id == "17"
    push(later)
    assert states() == {"sent": 1}
    assert receiver.received[-1].payload["conversation_id"] == conversation.public_id


def test_erasing_a_conversation_of_a_contact_that_stays_leaves_no_word_of_it() -> None:
    make_connection(log_conversations=True)
    contact = make_contact()
    make_conversation(make_agent(), contact=contact)
    conversation = analyzed(contact)
    change([contact], conversation.pk, note="zyxvalue")
    Push.objects.filter(kind="fields").update(
        state="sent", finished_at=timezone.now(), sent={"note": "zyxvalue"}, request="zyxvalue"
    )
    change([contact], note="newer")  # before: the erased value
    erase(conversations=Conversation.objects.filter(pk=conversation.pk), by=BY, why="tests")
    contact.refresh_from_db()
    (left,) = Push.objects.all()
    assert (left.state, left.wanted, left.before, left.conversation_ids) == (
        "pending",
        {"note": None},
        {},
        [],
    )

"""Recording, folding, and intake at the same moment: nothing is lost, and nothing waits forever."""

from datetime import UTC, datetime

import pytest
from django.db import transaction

from apps.contacts.models import Contact
from apps.conversations.inputs import ContactInput
from apps.conversations.lookup import contacts_for
from apps.conversations.results import NewResult
from apps.mappings import marks
from apps.mappings.contributions import contribute
from apps.mappings.marked_contacts import fold_marked, refold
from apps.mappings.models import PendingFold
from tests.factories import (
    make_agent,
    make_contact,
    make_contact_field,
    make_conversation,
    make_mapping,
)
from tests.locks import Writer

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_mark_that_is_set_during_a_fold_stays() -> None:
    contact = make_contact()
    marks.mark([contact.pk])
    with transaction.atomic():
        assert marks.take_marked(10) == [contact.pk]
        Writer(lambda: marks.mark([contact.pk])).join()
    assert PendingFold.objects.filter(contact=contact).count() == 1


def test_a_contact_that_another_transaction_holds_stays_marked() -> None:
    contact = make_contact()
    with transaction.atomic():
        Contact.objects.select_for_update().get(pk=contact.pk)
        Writer(lambda: refold([contact.pk])).join()
    assert PendingFold.objects.filter(contact=contact).exists()
    assert fold_marked() == 1
    assert not PendingFold.objects.exists()


def test_results_are_recorded_while_their_contacts_are_locked() -> None:
    make_contact_field("plan")
    make_mapping("plan", "plan")
    agent, contact = make_agent(), make_contact()
    call = make_conversation(agent, contact=contact)
    result = NewResult(call.pk, agent.pk, "an_1", {"plan": "pro"})
    with transaction.atomic():
        Contact.objects.select_for_update().get(pk=contact.pk)
        Writer(lambda: contribute([result])).join()
    assert fold_marked() == 1
    assert Contact.objects.get().fields == {"plan": "pro"}


def test_recording_folding_and_intake_at_once_end_in_the_newest_values() -> None:
    make_contact_field("plan")
    make_mapping("plan", "plan")
    make_mapping("name", "first_name")
    agent = make_agent()
    people = [ContactInput(phone_number=f"+1202555{n:04d}") for n in range(10)]
    contacts = list(contacts_for(people).values())
    calls = [
        make_conversation(agent, contact=contact, sort_at=datetime(2026, 1, 1, tzinfo=UTC))
        for contact in contacts
    ]

    def record() -> None:
        for turn in range(10):
            contribute(
                [
                    NewResult(call.pk, agent.pk, "an_1", {"plan": f"p{turn}", "name": f"n{turn}"})
                    for call in calls
                ]
            )

    def take_in() -> None:
        for n in range(10):
            with transaction.atomic():
                contacts_for(
                    [
                        ContactInput(person.phone_number, f"a{n}-{at}@example.com", "Given", "Last")
                        for at, person in enumerate(people)
                    ]
                )

    def fold_often() -> None:
        for _ in range(20):
            fold_marked()

    for writer in [Writer(do) for do in (record, fold_often, take_in, fold_often)]:
        writer.join(60)
    while fold_marked():
        pass
    for contact in Contact.objects.all():
        assert contact.fields == {"plan": "p9"}
        assert (contact.first_name, contact.last_name) == ("n9", "Last")

"""Two contacts become one, and both of their numbers lead to it."""

import pytest
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry
from apps.contacts.identifiers import holder_of
from apps.contacts.models import Contact
from apps.conversations.inputs import ContactInput
from apps.conversations.lookup import contacts_for
from apps.conversations.models import Conversation
from apps.conversations.results import NewResult
from apps.crm.models import Push, RemoteContact
from apps.mappings.contributions import contribute
from apps.mappings.edits import set_by_hand
from apps.mappings.marked_contacts import refold
from apps.mappings.merge import UnableToMerge, merge
from tests.factories import (
    make_agent,
    make_connection,
    make_contact,
    make_contact_field,
    make_conversation,
    make_mapping,
    make_push,
)
from tests.locks import Writer

BY = Actor.system("tests")


@pytest.mark.django_db
def test_conversations_and_values_move_and_both_numbers_lead_to_the_contact() -> None:
    make_contact_field("plan")
    make_mapping("plan", "plan")
    agent = make_agent()
    contact = make_contact(phone_number="+12025550101", first_name="Ada")
    duplicate = make_contact(phone_number="+12025550102", email="ada@example.com")
    call = make_conversation(agent, contact=duplicate)
    contribute([NewResult(call.pk, agent.pk, "an_1", {"plan": "pro"})])
    refold([duplicate.pk])
    set_by_hand(contact=duplicate, values={"last_name": "Lovelace"}, by=BY)
    merged = merge(contact=contact, duplicate=duplicate, by=BY)
    assert Contact.objects.get() == merged
    assert (merged.phone_number, merged.email) == ("+12025550101", "ada@example.com")
    assert (merged.first_name, merged.last_name) == ("Ada", "Lovelace")
    assert merged.fields == {"plan": "pro"}
    assert Conversation.objects.get().contact == merged
    assert AuditEntry.objects.get(verb="contact.merged").detail["conversations"] == 1
    person = ContactInput(phone_number="+12025550102")
    assert contacts_for([person]) == {person: merged}
    assert holder_of(phone_number="+12025550102") == merged


@pytest.mark.django_db
def test_records_in_crms_and_pushes_follow_to_the_contact() -> None:
    make_contact_field("plan")
    contact, duplicate = make_contact(), make_contact()
    both, one = make_connection(), make_connection()
    for crm, of, name in ((both, contact, "1"), (both, duplicate, "2"), (one, duplicate, "3")):
        RemoteContact.objects.create(connection=crm, contact=of, remote_id=name)
    call = make_conversation(make_agent(), contact=duplicate)
    set_by_hand(contact=duplicate, values={"plan": "pro"}, by=BY)  # a pending push to each CRM
    ended = {"state": "sent", "finished_at": timezone.now()}
    sent = make_push(connection=both, contact=duplicate, **ended)
    logged = make_push(connection=one, contact=duplicate, kind="activity", conversation=call)
    merge(contact=contact, duplicate=duplicate, by=BY)
    records = RemoteContact.objects.values_list("connection", "contact", "remote_id")
    assert set(records) == {(both.pk, contact.pk, "1"), (one.pk, contact.pk, "3")}
    assert set(Push.objects.values_list("contact", flat=True)) == {contact.pk}
    others = Push.objects.exclude(pk__in=[sent.pk, logged.pk])
    pending = {(both.pk, "pending", "pro"), (one.pk, "pending", "pro")}
    assert set(others.values_list("connection", "state", "wanted__plan")) == pending


@pytest.mark.django_db
def test_the_record_that_follows_gets_the_values_of_the_contact() -> None:
    make_contact_field("plan")
    contact, duplicate = make_contact(), make_contact()
    set_by_hand(contact=duplicate, values={"plan": "free"}, by=BY)
    set_by_hand(contact=contact, values={"plan": "pro"}, by=BY)
    crm = make_connection()
    RemoteContact.objects.create(connection=crm, contact=duplicate, remote_id="3")
    merge(contact=contact, duplicate=duplicate, by=BY)
    assert Push.objects.get().wanted["plan"] == "pro"


@pytest.mark.django_db
def test_a_contact_is_not_merged_into_itself_or_with_one_that_is_gone() -> None:
    contact, duplicate = make_contact(), make_contact()
    with pytest.raises(UnableToMerge):
        merge(contact=contact, duplicate=contact, by=BY)
    merge(contact=contact, duplicate=duplicate, by=BY)
    with pytest.raises(UnableToMerge):
        merge(contact=contact, duplicate=duplicate, by=BY)


@pytest.mark.django_db(transaction=True)
def test_two_merges_at_once_leave_one_contact() -> None:
    one, other = make_contact(), make_contact()
    writers = [
        Writer(lambda: merge(contact=one, duplicate=other, by=BY)),
        Writer(lambda: merge(contact=other, duplicate=one, by=BY)),
    ]
    errors = 0
    for writer in writers:
        try:
            writer.join()
        except UnableToMerge:
            errors += 1
    assert (Contact.objects.count(), errors) == (1, 1)

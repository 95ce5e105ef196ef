"""Changes of contacts become pushes: one per contact and connection."""

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from apps.contacts.models import Contact
from apps.crm.models import Push
from apps.crm.outbox import ContactChange, contacts_changed
from tests.factories import make_connection, make_contact

pytestmark = pytest.mark.django_db


def change(contact: Contact, before: Any, after: Any, *conversations: int) -> ContactChange:
    return ContactChange(contact.pk, {"plan": before}, {"plan": after}, conversations)


def test_without_a_connection_a_change_is_one_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    changes = [change(make_contact(), None, "pro") for _ in range(3)]
    with django_assert_num_queries(1):
        assert contacts_changed(changes) == 0
    assert not Push.objects.exists()


def test_many_changes_are_two_statements(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    make_connection()
    contacts = Contact.objects.bulk_create(Contact(email=f"{n}@example.com") for n in range(500))
    changes = [change(contact, None, "pro", n) for n, contact in enumerate(contacts)]
    with django_assert_num_queries(2):
        assert contacts_changed(changes) == 500
    assert Push.objects.filter(state="pending").count() == 500


def test_changes_of_a_contact_become_one_push() -> None:
    make_connection()
    contact = make_contact()
    contacts_changed([change(contact, "free", "pro", 7), change(contact, "pro", "team", 3)])
    note = ContactChange(contact.pk, {"plan": "team"}, {"plan": "max", "note": "Hi"}, (7, 9))
    contacts_changed([note])
    push = Push.objects.get()
    assert push.wanted == {"plan": "max", "note": "Hi"}
    assert push.before == {"plan": "free", "note": None}
    assert push.conversation_ids == [3, 7, 9]
    assert push.revision == 2


def test_only_changed_and_mapped_fields_are_pushed_and_never_the_number() -> None:
    make_connection(kind="hubspot", field_map={"plan": "plan__c", "phone_number": "phone"})
    make_connection(kind="hubspot")  # maps nothing
    contact = make_contact()
    before = {"plan": "free", "note": "a", "phone_number": "+1"}
    contacts_changed([ContactChange(contact.pk, before, before | {"phone_number": "+2"})])
    assert not Push.objects.exists()
    contacts_changed([ContactChange(contact.pk, before, before | {"plan": 1, "note": "b"})])
    assert Push.objects.get().wanted == {"plan": 1}


def test_a_cleared_value_is_wanted_as_null_and_true_is_not_one() -> None:
    make_connection()
    contact = make_contact()
    contacts_changed([ContactChange(contact.pk, {"plan": "pro", "paid": 1}, {"paid": True})])
    assert Push.objects.get().wanted == {"plan": None, "paid": True}


def test_with_approval_changes_wait_beside_a_pending_push() -> None:
    connection = make_connection()
    contact = make_contact()
    contacts_changed([change(contact, "free", "pro")])
    type(connection).objects.update(approval=True)
    contacts_changed([change(contact, "pro", "team")])
    contacts_changed([change(contact, "team", "max")])
    found = Push.objects.order_by("pk").values_list("state", "wanted", "before")
    assert list(found) == [
        ("pending", {"plan": "pro"}, {"plan": "free"}),
        ("waiting_for_approval", {"plan": "max"}, {"plan": "pro"}),
    ]

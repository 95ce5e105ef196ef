"""Contacts follow their conversations and edits, whatever the order of arrival."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.contacts.models import Contact
from apps.conversations.models import Conversation
from apps.conversations.results import NewResult
from apps.mappings.contributions import contribute
from apps.mappings.edits import InvalidContactValues, import_values, set_by_hand
from apps.mappings.marked_contacts import EMAIL_TAKEN, fold_marked, values_of
from apps.mappings.models import Contribution, Mapping, PendingFold
from apps.privacy.erasure import erase
from tests.factories import (
    make_agent,
    make_contact,
    make_contact_field,
    make_conversation,
    make_mapping,
)

pytestmark = pytest.mark.django_db

BY = Actor.system("tests")
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def agent() -> Agent:
    return make_agent()


@pytest.fixture
def contact() -> Contact:
    return make_contact()


def call(agent: Agent, contact: Contact | None, day: int) -> Conversation:
    return make_conversation(agent, contact=contact, sort_at=START + timedelta(days=day))


def analyzed(conversation: Conversation, **values: Any) -> None:
    contribute([result(conversation, **values)])


def result(conversation: Conversation, **values: Any) -> NewResult:
    return NewResult(
        conversation_id=conversation.pk,
        agent_id=conversation.agent_id,
        analysis="an_1",
        values=values,
    )


def after_fold(contact: Contact) -> Contact:
    while fold_marked():
        pass
    assert not PendingFold.objects.exists()
    return Contact.objects.get(pk=contact.pk)


class TestOneField:
    @pytest.fixture(autouse=True)
    def _mapped(self) -> None:
        make_contact_field("plan")
        make_mapping("plan_name", "plan")

    def test_a_result_sets_the_field_of_its_contact(self, agent: Agent, contact: Contact) -> None:
        first = call(agent, contact, 1)
        analyzed(first, plan_name="pro", other=1)
        after = after_fold(contact)
        assert after.fields == {"plan": "pro"}
        assert after.updated_at > contact.updated_at
        (source,) = values_of(after)["plan"].sources
        assert Contribution.objects.get(pk=source).conversation == first

    def test_the_rerun_of_an_older_call_does_not_overwrite_a_newer_one(
        self, agent: Agent, contact: Contact
    ) -> None:
        older, newer = call(agent, contact, 1), call(agent, contact, 2)
        analyzed(older, plan_name="free")
        analyzed(newer, plan_name="pro")
        analyzed(older, plan_name="basic")
        assert after_fold(contact).fields == {"plan": "pro"}

    def test_erasing_the_newer_call_brings_the_older_value_back(
        self, agent: Agent, contact: Contact
    ) -> None:
        older, newer = call(agent, contact, 1), call(agent, contact, 2)
        analyzed(older, plan_name="free")
        analyzed(newer, plan_name="pro")
        assert after_fold(contact).fields == {"plan": "pro"}
        analyzed(older, plan_name="basic")
        erase(conversations=Conversation.objects.filter(pk=newer.pk), by=BY, why="tests")
        assert Contact.objects.get(pk=contact.pk).fields == {"plan": "basic"}
        assert not PendingFold.objects.exists()

    def test_a_result_that_says_nothing_takes_the_earlier_one_back(
        self, agent: Agent, contact: Contact
    ) -> None:
        conversation = call(agent, contact, 1)
        analyzed(conversation, plan_name="pro")
        assert after_fold(contact).fields == {"plan": "pro"}
        analyzed(conversation, other="x")
        assert after_fold(contact).fields == {}

    def test_an_equal_value_writes_nothing(self, agent: Agent, contact: Contact) -> None:
        conversation = call(agent, contact, 1)
        analyzed(conversation, plan_name="pro")
        before = after_fold(contact)
        analyzed(conversation, plan_name="pro")
        assert not PendingFold.objects.exists()
        analyzed(call(agent, contact, 2), plan_name="pro")
        assert after_fold(contact).updated_at == before.updated_at

    def test_an_agents_own_mapping_goes_before_the_general_one(
        self, agent: Agent, contact: Contact
    ) -> None:
        make_mapping("tariff", "plan", agent=agent)
        analyzed(call(agent, contact, 1), plan_name="pro", tariff="gold")
        assert after_fold(contact).fields == {"plan": "gold"}
        analyzed(call(make_agent(), contact, 2), plan_name="pro", tariff="gold")
        assert after_fold(contact).fields == {"plan": "pro"}

    def test_a_conversation_that_gets_its_contact_later_brings_its_value(
        self, agent: Agent, contact: Contact
    ) -> None:
        conversation = call(agent, None, 1)
        analyzed(conversation, plan_name="pro")
        Conversation.objects.filter(pk=conversation.pk).update(contact=contact)
        assert after_fold(contact).fields == {"plan": "pro"}

    def test_a_conversation_whose_time_changes_takes_its_new_place(
        self, agent: Agent, contact: Contact
    ) -> None:
        older, newer = call(agent, contact, 1), call(agent, contact, 2)
        analyzed(older, plan_name="free")
        analyzed(newer, plan_name="pro")
        Conversation.objects.filter(pk=older.pk).update(sort_at=START + timedelta(days=3))
        assert after_fold(contact).fields == {"plan": "free"}

    def test_what_a_deleted_mapping_left_goes_with_the_next_result(
        self, agent: Agent, contact: Contact
    ) -> None:
        conversation = call(agent, contact, 1)
        analyzed(conversation, plan_name="pro")
        Mapping.objects.all().delete()
        analyzed(conversation, plan_name="pro")
        assert after_fold(contact).fields == {}


class TestTypes:
    def test_a_value_that_does_not_fit_is_recorded_and_skipped(
        self, agent: Agent, contact: Contact
    ) -> None:
        make_contact_field("seats", "number")
        make_mapping("seats", "seats")
        analyzed(call(agent, contact, 1), seats=5)
        analyzed(call(agent, contact, 2), seats="many")
        assert after_fold(contact).fields == {"seats": 5}
        refused = Contribution.objects.exclude(problem="").get()
        assert refused.problem == "“many” is not a number."
        assert refused.value is None


class TestNames:
    def test_a_mapped_name_replaces_the_provided_one_until_it_goes(
        self, agent: Agent, contact: Contact
    ) -> None:
        Contact.objects.filter(pk=contact.pk).update(first_name="Ann")
        make_mapping("name", "first_name")
        conversation = call(agent, contact, 1)
        analyzed(conversation, name="Anna")
        assert after_fold(contact).first_name == "Anna"
        analyzed(conversation)
        assert after_fold(contact).first_name == "Ann"

    def test_a_provided_name_stays_where_a_mapping_only_fills(
        self, agent: Agent, contact: Contact
    ) -> None:
        Contact.objects.filter(pk=contact.pk).update(first_name="Ann")
        make_mapping("name", "first_name", mode="fill_if_empty")
        analyzed(call(agent, contact, 1), name="Anna")
        assert after_fold(contact).first_name == "Ann"

    def test_the_email_of_another_contact_is_a_problem_until_it_is_free(
        self, agent: Agent, contact: Contact
    ) -> None:
        make_mapping("email", "email")
        other = make_contact(email="ada@example.com")
        analyzed(call(agent, contact, 1), email="Ada@Example.com")
        assert after_fold(contact).email is None
        assert Contribution.objects.get().problem == EMAIL_TAKEN
        set_by_hand(contact=other, values={"email": "lovelace@example.com"}, by=BY)
        Contact.objects.get(pk=other.pk).aliases.all().delete()
        PendingFold.objects.create(contact=contact)
        assert after_fold(contact).email == "ada@example.com"
        assert Contribution.objects.get(conversation__isnull=False).problem == ""

    def test_a_replaced_email_still_leads_to_its_contact(
        self, agent: Agent, contact: Contact
    ) -> None:
        Contact.objects.filter(pk=contact.pk).update(email="ada@example.com")
        make_mapping("email", "email")
        analyzed(call(agent, contact, 1), email="lovelace@example.com")
        after = after_fold(contact)
        assert after.email == "lovelace@example.com"
        assert [alias.email for alias in after.aliases.all()] == ["ada@example.com"]


class TestEdits:
    @pytest.fixture(autouse=True)
    def _mapped(self) -> None:
        make_contact_field("plan")
        make_mapping("plan_name", "plan")

    def test_an_edit_counts_until_a_later_conversation(
        self, agent: Agent, contact: Contact
    ) -> None:
        analyzed(call(agent, contact, 1), plan_name="free")
        edited = set_by_hand(contact=contact, values={"plan": " pro "}, by=BY)
        assert edited.fields == {"plan": "pro"}
        analyzed(call(agent, contact, 1), plan_name="basic")
        assert after_fold(contact).fields == {"plan": "pro"}
        later = (timezone.now() - START).days + 2
        analyzed(call(agent, contact, later), plan_name="gold")
        assert after_fold(contact).fields == {"plan": "gold"}

    def test_an_edit_can_empty_a_field(self, agent: Agent, contact: Contact) -> None:
        analyzed(call(agent, contact, 1), plan_name="free")
        assert set_by_hand(contact=contact, values={"plan": ""}, by=BY).fields == {}

    def test_an_equal_value_is_no_edit(self, contact: Contact) -> None:
        set_by_hand(contact=contact, values={"plan": "pro"}, by=BY)
        set_by_hand(contact=contact, values={"plan": "pro", "first_name": None}, by=BY)
        assert Contribution.objects.count() == 1

    def test_each_wrong_value_has_a_message_and_nothing_is_written(self, contact: Contact) -> None:
        make_contact(phone_number="+12025550199", email="ada@example.com")
        values = {
            "plan": {"a": 1},
            "phone_number": "+1 202 555 0199",
            "email": "ADA@example.com",
            "nope": 1,
        }
        with pytest.raises(InvalidContactValues) as raised:
            set_by_hand(contact=contact, values={**values, "first_name": "Ada"}, by=BY)
        assert raised.value.fields == {
            "plan": "“{'a': 1}” is not text.",
            "nope": "Unknown contact field “nope”.",
            "phone_number": "Another contact has this phone number.",
            "email": "Another contact has this email address.",
        }
        assert Contact.objects.get(pk=contact.pk).first_name == ""

    def test_a_contact_with_edits_survives_its_last_conversation(
        self, agent: Agent, contact: Contact
    ) -> None:
        analyzed(call(agent, contact, 1), plan_name="free")
        set_by_hand(contact=contact, values={"first_name": "Ada"}, by=BY)
        erase(conversations=Conversation.objects.all(), by=BY, why="tests")
        after = Contact.objects.get(pk=contact.pk)
        assert (after.first_name, after.fields) == ("Ada", {})

    def test_an_import_sets_many_and_reports_what_does_not_fit(self, contact: Contact) -> None:
        make_contact_field("seats", "number")
        other = make_contact()
        problems = import_values(
            rows={
                contact.pk: {"plan": "pro", "seats": "five"},
                other.pk: {"seats": "5", "plan": ""},
            },
            by=BY,
        )
        assert problems == {(contact.pk, "seats"): "“five” is not a number."}
        assert after_fold(contact).fields == {"plan": "pro"}
        assert Contact.objects.get(pk=other.pk).fields == {"seats": 5}


class TestCost:
    def test_without_mappings_recording_costs_one_query(
        self, agent: Agent, contact: Contact, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        results = [result(call(agent, contact, 1), plan="pro") for _ in range(3)]
        with django_assert_num_queries(1):
            contribute(results)

    def test_with_mappings_recording_costs_two_queries(
        self, agent: Agent, contact: Contact, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        make_contact_field("plan")
        make_mapping("plan", "plan")
        results = [result(call(agent, contact, 1), plan="pro") for _ in range(3)]
        with django_assert_num_queries(2):
            contribute(results)

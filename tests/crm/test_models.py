"""What the database itself holds of mappings, contributions and connections."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Role, User
from apps.contacts.models import Contact, ContactField
from apps.crm.models import Contribution, CrmConnection, Mapping, Origin
from tests.factories import make_agent, make_conversation

pytestmark = pytest.mark.django_db

NOW = timezone.now()


def make_field(name: str = "Plan") -> ContactField:
    return ContactField.objects.get_or_create(name=name, defaults={"kind": "text"})[0]


def make_mapping(**values: Any) -> Mapping:
    """To the built-in first name, unless ``custom`` asks for a field of that name."""
    if custom := values.pop("custom", ""):
        values["custom_field"] = make_field(custom)
    values.setdefault("built_in", "" if custom else "first_name")
    if "agent" not in values:
        values["agent"] = make_agent()
    return Mapping.objects.create(**{"analysis_field": "name", "created_by": "tests", **values})


def make_contribution(**values: Any) -> Contribution:
    """By hand, unless a conversation is given."""
    if custom := values.pop("custom", ""):
        values["custom_field"] = make_field(custom)
    values.setdefault("built_in", "" if custom else "first_name")
    if "contact" not in values:
        values["contact"] = Contact.objects.create()
    told: dict[str, str] = {"origin": Origin.MANUAL}
    if "conversation" in values:
        told = {"origin": Origin.CONVERSATION, "analysis_public_id": "an_1"}
    return Contribution.objects.create(
        **{**told, "value": "Ada", "said_at": NOW, "by": "tests", **values}
    )


FIELD_OF_A_CONTACT = [
    ({"built_in": ""}, "one_contact_field"),
    ({"built_in": "shoe_size"}, "one_contact_field"),
    ({"built_in": "email", "custom": "Plan"}, "one_contact_field"),
    ({"mode": "shout"}, "mode_known"),
    ({"mode": "accumulate"}, "built_in_not_accumulated"),
]


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        *((values, f"mapping_{name}") for values, name in FIELD_OF_A_CONTACT),
        ({"analysis_field": ""}, "mapping_field_given"),
    ],
)
def test_mappings_refused(values: dict[str, Any], constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        make_mapping(**values)


@pytest.mark.parametrize("target", [{"built_in": "email"}, {"custom": "Plan"}])
def test_an_agent_fills_a_contact_field_from_one_field(target: dict[str, str]) -> None:
    mapping = make_mapping(**target)

    make_mapping(**target)  # of another agent
    make_mapping(agent=mapping.agent, built_in="last_name")  # from the same field, to another
    with pytest.raises(IntegrityError, match="mapping_contact_field_once"), transaction.atomic():
        make_mapping(agent=mapping.agent, analysis_field="other", **target)


def test_own_text_fields_accumulate() -> None:
    make_mapping(custom="Plan", mode="accumulate")
    make_contribution(custom="Plan", mode="accumulate")


def test_a_contact_field_in_use_is_not_deleted() -> None:
    mapped = make_mapping(custom="Plan").custom_field
    valued = make_contribution(custom="Size").custom_field

    for field in (mapped, valued):
        assert field
        with pytest.raises(ProtectedError):
            field.delete()


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        *((values, f"contribution_{name}") for values, name in FIELD_OF_A_CONTACT),
        ({"origin": "rumour"}, "contribution_origin_told"),
        ({"origin": "conversation"}, "contribution_origin_told"),
        ({"origin": "conversation", "analysis_public_id": "an_1"}, "contribution_origin_told"),
        ({"analysis_public_id": "an_1"}, "contribution_origin_told"),
    ],
)
def test_contributions_refused(values: dict[str, Any], constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        make_contribution(**values)


@pytest.mark.parametrize("values", [{"origin": "manual"}, {"analysis_public_id": ""}])
def test_what_a_conversation_said_names_its_analysis(values: dict[str, str]) -> None:
    conversation = make_conversation(make_agent())
    with (
        pytest.raises(IntegrityError, match="contribution_origin_told"),
        transaction.atomic(),
    ):
        make_contribution(conversation=conversation, **values)


@pytest.mark.parametrize("target", [{"built_in": "email"}, {"custom": "Plan"}])
def test_a_conversation_contributes_one_value_to_a_contact_field(target: dict[str, str]) -> None:
    agent = make_agent()
    first = make_contribution(conversation=make_conversation(agent), **target)
    of_contact = {"contact": first.contact, "conversation": first.conversation}

    make_contribution(contact=first.contact, conversation=make_conversation(agent), **target)
    make_contribution(**of_contact, built_in="last_name")
    with (
        pytest.raises(IntegrityError, match="contribution_conversation_once"),
        transaction.atomic(),
    ):
        make_contribution(**of_contact, **target)


def test_people_may_edit_a_field_many_times_and_the_order_is_that_of_the_fold() -> None:
    late = make_contribution(said_at=NOW + timedelta(days=1))
    early = make_contribution(contact=late.contact)
    beside = make_contribution(contact=late.contact, origin=Origin.IMPORTED)

    assert [*late.contact.contributions.all()] == [early, beside, late]


def test_erasing_a_conversation_takes_what_it_contributed_along() -> None:
    conversation = make_conversation(make_agent())
    by_hand = make_contribution()
    make_contribution(contact=by_hand.contact, conversation=conversation)

    conversation.delete()

    assert [*by_hand.contact.contributions.all()] == [by_hand]


def make_connection(**values: Any) -> CrmConnection:
    return CrmConnection.objects.create(
        **{
            "name": "Our HubSpot",
            "kind": "hubspot",
            "credentials_encrypted": b"ciphertext",
            "created_by": "tests",
            **values,
        }
    )


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"name": ""}, "crm_connection_name_given"),
        ({"kind": "fax"}, "crm_connection_kind_known"),
        ({"kind": "http"}, "crm_connection_url_http"),
        ({"kind": "http", "url": "ftp://example.com"}, "crm_connection_url_http"),
        ({"url": "https://"}, "crm_connection_url_http"),
        ({"credentials_encrypted": b""}, "crm_connection_credentials_given"),
    ],
)
def test_connections_refused(values: dict[str, Any], constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        make_connection(**values)


def test_connections_taken_once_by_name() -> None:
    make_connection()
    make_connection(name="Ours", kind="http", url="https://example.com/contacts")
    with pytest.raises(IntegrityError, match="name"), transaction.atomic():
        make_connection(name="Ours")


def test_django_admin_shows_no_credentials(client: Client) -> None:
    client.force_login(User.objects.create_user("root", role=Role.ADMIN))

    page = client.get(f"/admin/crm/crmconnection/{make_connection().pk}/change/").text

    assert "Our HubSpot" in page
    assert "credentials" not in page.lower()

"""Contacts over the API: created, listed, filtered, edited, and deleted."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.http import HttpResponse

from apps.accounts.models import Role
from apps.contacts.models import Contact
from apps.mappings.marked_contacts import refold
from apps.mappings.models import Contribution
from tests.factories import make_contact, make_contact_field, make_conversation, make_draft

from .conftest import Caller

pytestmark = pytest.mark.django_db


def read(answer: HttpResponse) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.content)
    return found


@pytest.fixture
def fields(db: None) -> None:
    make_contact_field("plan", "choice", choices=["free", "pro"])
    make_contact_field("seats", "number")


@pytest.mark.usefixtures("fields")
def test_contact_is_created_read_edited_and_deleted(editor: Caller) -> None:
    body = {"phone_number": "+1 415 555 0132", "first_name": "Ada", "fields": {"plan": "pro"}}
    made = editor.post("/contacts", body)
    assert made.status_code == 201
    contact = read(made)
    assert (contact["phone_number"], contact["email"]) == ("+14155550132", None)
    plan = contact["fields"]["plan"]
    assert plan["value"] == "pro"
    assert list(plan["source"]) == ["manual"]
    assert "tests editor" in plan["source"]["manual"]
    path = f"/contacts/{contact['id']}"
    assert read(editor.get(path)) == contact
    edited = read(editor.send("PATCH", path, {"fields": {"plan": None, "seats": 3}}))
    assert set(edited["fields"]) == {"seats"}
    assert edited["first_name"] == "Ada"
    assert editor.send("DELETE", path).status_code == 403
    admin = Caller(Role.ADMIN)
    assert admin.send("DELETE", path).status_code == 204
    assert admin.get(path).status_code == 404


@pytest.mark.usefixtures("fields")
def test_value_names_its_conversation(viewer: Caller) -> None:
    contact = make_contact()
    call = make_conversation(make_draft().agent)
    call.contact, call.sort_at = contact, datetime(2026, 3, 1, tzinfo=UTC)
    call.save()
    Contribution.objects.create(
        kind="conversation", conversation=call, field="plan", value="pro", at=call.sort_at, by="x"
    )
    refold([contact.pk])
    shown = read(viewer.get(f"/contacts/{contact.public_id}"))
    assert shown["fields"]["plan"] == {
        "value": "pro",
        "updated_at": "2026-03-01T00:00:00Z",
        "source": {"conversation_id": call.public_id},
    }


@pytest.mark.usefixtures("fields")
def test_list_filters_sorts_and_pages(viewer: Caller, django_assert_max_num_queries: Any) -> None:
    for number in range(3):
        make_contact(first_name=f"P{number}", fields={"seats": number})
    with django_assert_max_num_queries(12):
        page = read(viewer.get("/contacts", sort="name", limit=2, include_total="true"))
    assert [item["first_name"] for item in page["items"]] == ["P0", "P1"]
    assert page["total"] == 3
    rest = read(viewer.get("/contacts", sort="name", limit=2, cursor=page["next_cursor"]))
    assert [item["first_name"] for item in rest["items"]] == ["P2"]
    some = read(viewer.get("/contacts", **{"fields.seats__gte": "2"}))
    assert [item["first_name"] for item in some["items"]] == ["P2"]
    refused = viewer.get("/contacts", **{"fields.nope": "1"})
    assert (refused.status_code, read(refused)["error"]["code"]) == (400, "invalid_filter")


@pytest.mark.usefixtures("fields")
@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        ({"first_name": "Ada"}, "contact_without_identity", "phone_number"),
        ({"email": "nonsense"}, "invalid_contact_values", "email"),
        ({"email": "a@b.co", "fields": {"seats": "many"}}, "invalid_contact_values",
         "fields.seats"),
        ({"email": "a@b.co", "fields": {"nope": 1}}, "invalid_contact_values", "fields.nope"),
        ({"email": "a@b.co", "fields": {"email": "x"}}, "invalid_contact_values",
         "fields.email"),
        ({"email": "a@b.co", "colour": "red"}, "unknown_keys", "colour"),
        ({"phone_number": "+14155550100"}, "invalid_contact_values", "phone_number"),
    ],
)  # fmt: skip
def test_refused_bodies_store_nothing(
    editor: Caller, body: dict[str, Any], code: str, path: str
) -> None:
    make_contact(phone_number="+14155550100")
    answer = editor.post("/contacts", body)
    error = read(answer)["error"]
    assert (answer.status_code, error["code"]) == (422, code)
    assert path in error["fields"]
    assert Contact.objects.count() == 1


def test_idempotency_key_creates_one_contact(editor: Caller) -> None:
    body = {"email": "ada@example.com"}
    one, two = (editor.post("/contacts", body, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert one.content == two.content
    assert Contact.objects.count() == 1


def test_contact_fields_are_created_and_listed(editor: Caller, viewer: Caller) -> None:
    body = {"name": "plan", "type": "choice", "choices": ["free", "pro"]}
    made = editor.post("/contact-fields", body)
    assert made.status_code == 201
    assert read(made)["label"] == "Plan"
    assert editor.post("/contact-fields", body).status_code == 409
    wrong = editor.post("/contact-fields", {"name": "Plan!", "type": "text"})
    assert read(wrong)["error"]["code"] == "invalid_contact_field"
    assert viewer.post("/contact-fields", body).status_code == 403
    listed = read(viewer.get("/contact-fields", include_total="true"))
    assert [item["name"] for item in listed["items"]] == ["plan"]
    assert listed["total"] == 1


def test_a_value_loses_only_the_characters_that_cannot_be_stored(editor: Caller) -> None:
    make_contact_field("note", "text")
    said = {"email": "x@example.com", "fields": {"note": "a\x00b\ud83d"}}
    made = editor.post("/contacts", said)
    assert made.status_code == 201, made.content
    assert json.loads(made.content)["fields"]["note"]["value"] == "ab\N{REPLACEMENT CHARACTER}"

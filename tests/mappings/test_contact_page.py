"""The page of one contact: its values with their sources, its conversations, and its edits."""

from datetime import UTC, datetime
from typing import Any

import pytest

from apps.accounts.models import AuditEntry
from apps.contacts.models import Contact
from apps.conversations.models import Conversation
from apps.mappings.marked_contacts import refold
from apps.mappings.models import Contribution
from tests.factories import (
    client_as,
    make_contact,
    make_contact_field,
    make_draft,
    make_indexed_conversation,
)

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture
def ada() -> Contact:
    make_contact_field("plan")
    return make_contact(phone_number="+15550100", first_name="Ada", last_name="Lovelace")


@pytest.fixture
def call(ada: Contact) -> Conversation:
    return make_indexed_conversation(
        make_draft("Billing line"),
        contact=ada,
        started_at=datetime(2026, 3, 1, 10, tzinfo=UTC),
        summary="Asked for a refund.",
        successful=True,
        analysis_state="succeeded",
    )


def contribute(call: Conversation, value: object, *, problem: str = "") -> None:
    """As recording a result does."""
    Contribution.objects.create(
        kind="conversation",
        conversation=call,
        field="plan",
        value=value,
        problem=problem,
        at=call.sort_at,
        by="Billing line",
    )
    assert call.contact_id
    refold([call.contact_id])


def url(contact: Contact, page: str = "") -> str:
    return f"/contacts/{contact.public_id}/{page}"


def test_page_shows_values_with_their_conversation(
    ada: Contact, call: Conversation, django_assert_num_queries: Any
) -> None:
    contribute(call, "pro")
    client = client_as("viewer")
    with django_assert_num_queries(11):
        page = client.get(url(ada)).text
    assert "Ada Lovelace" in page
    assert "Asked for a refund." in page
    values = " ".join(page.split('id="fields-title"')[1].split())
    assert "pro</span>" in values
    assert f'href="/conversations/{call.public_id}/"' in values
    assert "Billing line" in values
    assert f"/calls/?contact={ada.public_id}" in page
    assert client.get("/contacts/ct_none/").status_code == 404


def test_history_lists_skipped_values_with_their_problem(ada: Contact, call: Conversation) -> None:
    contribute(call, ["a"], problem="“a” is not a text.")
    client = client_as("viewer")
    page = client.get(url(ada, "history/plan/"), headers=HTMX).text
    assert "Skipped" in page
    assert "“a” is not a text." in page
    assert client.get(url(ada, "history/nope/")).status_code == 404


def test_edit_changes_only_what_was_edited(ada: Contact, call: Conversation) -> None:
    contribute(call, "pro")
    client = client_as("editor")
    form = client.get(url(ada, "edit/"), headers=HTMX).context["form"]
    data = {**form.initial, "plan": "enterprise"}
    answer = client.post(url(ada, "edit/"), data, headers=HTMX)
    assert answer.status_code == 204
    ada.refresh_from_db()
    assert ada.fields == {"plan": "enterprise"}
    rows = Contribution.objects.filter(kind="manual")
    assert [(row.field, row.value) for row in rows] == [("plan", "enterprise")]
    page = client.get(url(ada)).text
    assert "Edited by" in page


def test_second_editor_of_the_same_field_is_told(ada: Contact) -> None:
    client = client_as("editor")
    first = client.get(url(ada, "edit/")).context["form"].initial
    second = dict(first)
    assert client.post(url(ada, "edit/"), {**first, "plan": "a"}, headers=HTMX).status_code == 204
    answer = client.post(url(ada, "edit/"), {**second, "plan": "b"}, headers=HTMX)
    assert answer.status_code == 200
    assert "changed to “a” while you were editing" in answer.text
    ada.refresh_from_db()
    assert ada.fields == {"plan": "a"}
    shown = answer.context["form"]
    again = {name: shown[name].value() or "" for name in shown.fields}
    assert again["plan"] == "b"
    assert client.post(url(ada, "edit/"), again, headers=HTMX).status_code == 204
    ada.refresh_from_db()
    assert ada.fields == {"plan": "b"}


def test_edits_of_other_fields_do_not_meet(ada: Contact) -> None:
    client = client_as("editor")
    seen = client.get(url(ada, "edit/")).context["form"].initial
    client.post(url(ada, "edit/"), {**seen, "plan": "a"}, headers=HTMX)
    client.post(url(ada, "edit/"), {**seen, "last_name": "King"}, headers=HTMX)
    ada.refresh_from_db()
    assert (ada.last_name, ada.fields) == ("King", {"plan": "a"})


def test_bad_values_stand_at_their_field_and_lose_nothing(ada: Contact) -> None:
    make_contact_field("seats", "number")
    client = client_as("editor")
    seen = client.get(url(ada, "edit/")).context["form"].initial
    sent = {**seen, "seats": "many", "email": "nonsense", "plan": "kept"}
    answer = client.post(url(ada, "edit/"), sent, headers=HTMX)
    assert answer.status_code == 200
    errors = answer.context["form"].errors
    assert set(errors) == {"seats", "email"}
    assert 'value="kept"' in answer.text
    ada.refresh_from_db()
    assert ada.fields == {}


def test_new_contact_needs_a_number_or_an_email() -> None:
    make_contact_field("plan")
    client = client_as("editor")
    answer = client.post("/contacts/new/", {"first_name": "Bo", "seen": ""}, headers=HTMX)
    assert "needs a phone number or an email" in answer.text
    sent = {"first_name": "Bo", "phone_number": "+1 (415) 555-0132", "plan": "pro", "seen": ""}
    answer = client.post("/contacts/new/", sent)
    contact = Contact.objects.get()
    assert answer.headers["Location"] == url(contact)
    assert (contact.phone_number, contact.origin) == ("+14155550132", "manual")
    assert (contact.first_name, contact.fields) == ("Bo", {"plan": "pro"})
    answer = client.post("/contacts/new/", sent, headers=HTMX)
    assert answer.status_code == 200
    assert Contact.objects.count() == 1


def test_delete_says_numbers_and_keeps_conversations(ada: Contact, call: Conversation) -> None:
    client = client_as("admin")
    page = " ".join(client.get(url(ada, "delete/"), headers=HTMX).text.split())
    assert "1 conversation" in page
    assert client.post(url(ada, "delete/")).headers["Location"] == "/contacts/"
    assert not Contact.objects.exists()
    call.refresh_from_db()
    assert call.contact is None
    assert AuditEntry.objects.filter(verb="contact.deleted", target=ada.public_id).exists()


def test_merge_is_previewed_and_confirmed(ada: Contact, call: Conversation) -> None:
    contribute(call, "pro")
    other = make_contact(
        phone_number="+15550900", email="ada@example.com", first_name="Ada", last_name="Lovelace"
    )
    client = client_as("editor")
    search = client.get(url(other, "merge/"), headers=HTMX).text
    assert "+15550100" in search  # the one of the same name
    assert "+15550100" in client.get(f"{url(other, 'merge/')}?q=1555010").text
    preview = client.get(f"{url(other, 'merge/')}?other={ada.public_id}", headers=HTMX).text
    assert "pro" in preview
    assert "+15550100</bdi> will lead to this contact too" in " ".join(preview.split())
    answer = client.post(url(other, "merge/"), {"other": ada.public_id}, headers=HTMX)
    assert answer.status_code == 204
    assert not Contact.objects.filter(pk=ada.pk).exists()
    other.refresh_from_db()
    assert other.fields == {"plan": "pro"}
    call.refresh_from_db()
    assert call.contact == other
    gone = client.post(url(other, "merge/"), {"other": ada.public_id}, headers=HTMX)
    assert "no longer exists" in gone.text


def test_releasing_a_former_email_lets_another_contact_have_it() -> None:
    editor = client_as("editor")
    contact = make_contact(email="new@example.com")
    alias = contact.aliases.create(email="old@example.com")
    url = f"/contacts/{contact.public_id}/aliases/{alias.pk}/release/"
    assert url in editor.get(f"/contacts/{contact.public_id}/").text
    assert "old@example.com" in editor.get(url).text

    page = editor.post(url, follow=True).text

    assert "Email released." in page
    assert "old@example.com" not in page
    other = make_contact(phone_number="+12025550188")
    answer = editor.post(f"/contacts/{other.public_id}/edit/", {"email": "old@example.com"})
    other.refresh_from_db()
    assert other.email == "old@example.com", answer.text
    assert editor.post(url).status_code == 404

"""The settings page of contact fields."""

import pytest

from apps.contacts.models import ContactField
from tests.factories import client_as, make_contact, make_contact_field, make_mapping

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
PAGE = "/contacts/fields/"


def test_editor_adds_a_field() -> None:
    client = client_as("editor")
    assert "No contact fields yet" in client.get(PAGE).text
    sent = {"name": "plan", "label": "Plan", "type": "choice", "choices": "free\n pro \n\n"}
    answer = client.post(f"{PAGE}new/", sent, headers=HTMX)
    assert answer.status_code == 204
    field = ContactField.objects.get()
    assert (field.label, field.type, field.choices) == ("Plan", "choice", ["free", "pro"])
    again = client.post(f"{PAGE}new/", sent, headers=HTMX)
    assert again.status_code == 200
    assert again.context["form"].errors["name"]
    assert "Plan" in client.get(PAGE, headers=HTMX).text


def test_mistakes_stand_at_their_input() -> None:
    client = client_as("editor")
    sent = {"name": "Plan!", "label": "", "type": "choice", "choices": ""}
    answer = client.post(f"{PAGE}new/", sent, headers=HTMX)
    assert set(answer.context["form"].errors) == {"name", "choices"}
    assert not ContactField.objects.exists()


def test_used_choice_stays_and_the_label_changes() -> None:
    make_contact_field("plan", "choice", choices=["free", "pro"])
    make_contact(fields={"plan": "pro"})
    client = client_as("editor")
    answer = client.post(f"{PAGE}plan/edit/", {"label": "Tier", "choices": "free"}, headers=HTMX)
    assert "pro" in str(answer.context["form"].errors["choices"])
    answer = client.post(f"{PAGE}plan/edit/", {"label": "Tier", "choices": "pro\nmax"})
    assert answer.status_code == 302
    field = ContactField.objects.get()
    assert (field.label, field.choices) == ("Tier", ["pro", "max"])


def test_only_an_unused_field_can_be_deleted() -> None:
    make_contact_field("plan")
    make_contact_field("seats", "number")
    make_contact_field("vip", "boolean")
    make_contact(fields={"plan": "pro"})
    make_mapping("seat_count", "seats")
    client = client_as("editor")
    for name, why in (("plan", "1 contact"), ("seats", "1 mapping")):
        assert why in " ".join(client.get(f"{PAGE}{name}/delete/").text.split())
        answer = client.post(f"{PAGE}{name}/delete/", headers=HTMX)
        assert "This field is in use" in answer.text
    assert client.post(f"{PAGE}vip/delete/", headers=HTMX).status_code == 204
    assert set(ContactField.objects.values_list("name", flat=True)) == {"plan", "seats"}
    page = client.get(PAGE).text
    assert "?fields.plan__isset=true" in page

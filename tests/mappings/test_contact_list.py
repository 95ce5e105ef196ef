"""The list of contacts: what is shown, filtered, and exported, and at what cost."""

import csv
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.test import Client

from apps.contacts.models import Contact, ContactAlias
from apps.conversations.filters import FilterError
from apps.mappings.directory import filters, listing
from tests.factories import (
    client_as,
    make_contact,
    make_contact_field,
    make_draft,
    make_indexed_conversation,
)

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
PAGE = "/contacts/"


@pytest.fixture
def people() -> dict[str, Contact]:
    make_contact_field("plan", "choice", choices=["free", "pro"])
    make_contact_field("seats", "number")
    make_contact_field("vip", "boolean", label="VIP")
    make_contact_field("renewal", "date")
    make_contact_field("seen_at", "datetime")
    return {
        "ada": make_contact(
            phone_number="+15550100",
            email="ada@example.com",
            first_name="Ada",
            last_name="Lovelace",
            fields={"plan": "pro", "seats": 12, "vip": True, "renewal": "2026-03-01"},
        ),
        "bo": make_contact(
            phone_number="+15550200",
            first_name="Bo",
            last_name="Adams",
            fields={"plan": "free", "seats": 3, "seen_at": "2026-03-01T10:00:00.5Z"},
        ),
        "mail": make_contact(phone_number=None, email="x@example.com", fields={"vip": False}),
    }


def found(people: dict[str, Contact], **params: Any) -> set[str]:
    names = {contact.pk: name for name, contact in people.items()}
    return {names[pk] for pk in filters.parse(params).queryset().values_list("pk", flat=True)}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"fields.plan": "pro"}, {"ada"}),
        ({"fields.plan__ne": "pro"}, {"bo", "mail"}),
        ({"fields.plan__isset": "false"}, {"mail"}),
        ({"fields.seats__gte": "4"}, {"ada"}),
        ({"fields.seats__between": "1,12"}, {"ada", "bo"}),
        ({"fields.vip": "false"}, {"mail"}),
        ({"fields.renewal": "2026-03-01"}, {"ada"}),
        ({"fields.renewal__gt": "2026-03-01"}, set()),
        ({"fields.renewal__between": "2026-02-01,2026-03-01"}, {"ada"}),
        ({"fields.seen_at": "2026-03-01"}, {"bo"}),
        ({"fields.seen_at__gte": "2026-03-01T10:00Z"}, {"bo"}),
        ({"fields.seen_at__lt": "2026-03-01T10:00Z"}, set()),
        ({"fields.seen_at__ne": "2026-03-01"}, {"ada", "mail"}),
        ({"phone_number__startswith": "+1555010"}, {"ada"}),
        ({"phone_number__isset": "false"}, {"mail"}),
        ({"email": "ADA@example.com"}, {"ada"}),
        ({"email__contains": "example"}, {"ada", "mail"}),
        ({"name__contains": "love"}, {"ada"}),
        ({"name__isset": "false"}, {"mail"}),
        ({"origin": "conversation"}, {"ada", "bo", "mail"}),
        ({"updated_at__gte": "2020-01-01"}, {"ada", "bo", "mail"}),
        ({"q": "ada"}, {"ada", "bo"}),
        ({"q": "ada l"}, {"ada"}),
        ({"q": "LOVE"}, {"ada"}),
        ({"q": "+1 (555) 01-00"}, {"ada"}),
        ({"q": "15550200"}, {"bo"}),
        ({"q": "x@"}, {"mail"}),
        ({"q": "lace"}, set()),
    ],
)
def test_filters_and_search_find(
    people: dict[str, Contact], params: dict[str, str], expected: set[str]
) -> None:
    assert found(people, **params) == expected


def test_search_finds_a_number_that_leads_to_a_contact_too(people: dict[str, Contact]) -> None:
    ContactAlias.objects.create(contact=people["bo"], phone_number="+447700900123")
    assert found(people, q="+44 7700") == {"bo"}
    assert found(people, q=people["ada"].public_id) == {"ada"}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"fields.nope": "1"}, "There is no contact field “nope”."),
        ({"fields.plan": "gold"}, "must be one of free, pro"),
        ({"fields.seats__gte": "many"}, "needs a number"),
        ({"fields.seats__contains": "1"}, "doesn't support __contains"),
        ({"colour": "red"}, "Unknown filter “colour”."),
        ({"columns": "nope"}, "Unknown column “nope”."),
        ({"sort": "fields.plan"}, "can't sort by"),
        ({"q": "+"}, "has no word or number"),
    ],
)
def test_mistakes_are_refused_in_words(
    people: dict[str, Contact], params: dict[str, str], message: str
) -> None:
    with pytest.raises(FilterError) as caught:
        filters.parse(params)
    assert message in caught.value.message


def test_page_shows_contacts_with_their_conversations(
    people: dict[str, Contact], django_assert_num_queries: Any
) -> None:
    version = make_draft("Billing line")
    for hour in (10, 11):
        make_indexed_conversation(
            version, contact=people["ada"], started_at=datetime(2026, 3, 1, hour, tzinfo=UTC)
        )
    client = client_as("viewer")
    with django_assert_num_queries(6):
        page = client.get(PAGE)
    assert page.status_code == 200
    rows = page.text.split("<tbody>")[1].split("</tr>")
    ada = next(row for row in rows if "Ada Lovelace" in row)
    assert "+15550100" in ada
    assert ">2</td>" in "".join(ada.split())
    assert "3 of 3" in page.text
    nameless = next(row for row in rows if people["mail"].public_id in row)
    assert "x@example.com" in nameless


def test_fragment_sort_and_cursor(people: dict[str, Contact], monkeypatch: Any) -> None:
    monkeypatch.setattr(listing, "PAGE", 2)
    client = client_as("viewer")
    first = client.get(f"{PAGE}?sort=name", headers=HTMX)
    assert "<html" not in first.text
    assert first.text.index("Ada Lovelace") < first.text.index("Bo Adams")
    cursor = first.context["next_cursor"]
    second = client.get(f"{PAGE}?sort=name&cursor={cursor}", headers=HTMX)
    assert [contact.pk for contact, _ in second.context["lines"]] == [people["mail"].pk]
    assert client.get(f"{PAGE}?cursor=broken").status_code == 302


def test_empty_page_says_how_contacts_come_about() -> None:
    page = client_as("viewer").get(PAGE).text
    assert "No contacts yet" in page
    assert "Mappings" in page


def test_refused_filter_lists_nothing(people: dict[str, Contact]) -> None:
    page = client_as("viewer").get(f"{PAGE}?fields.seats__gte=many")
    assert page.status_code == 200
    assert "needs a number" in page.text
    assert "Ada Lovelace" not in page.text


def test_editor_row_has_the_control_of_the_type(people: dict[str, Contact]) -> None:
    client = client_as("viewer")
    row = client.get("/contacts/filter-row/?n=0&row-0-field=fields.plan", headers=HTMX).text
    assert 'value="free"' in row
    row = client.get("/contacts/filter-row/?n=0&row-0-field=fields.vip", headers=HTMX).text
    assert 'value="true"' in row
    edit = client.get("/contacts/filter/?edit=fields.renewal&fields.renewal=2026-03-01").text
    assert 'type="date"' in edit
    plain = client.get(f"{PAGE}?row-0-field=fields.seats&row-0-op=gte&row-0-value=4")
    assert plain.headers["Location"] == f"{PAGE}?fields.seats__gte=4"


def test_export_holds_what_is_filtered_and_guards_formulas(people: dict[str, Contact]) -> None:
    Contact.objects.filter(pk=people["bo"].pk).update(first_name="=cmd()")
    client = client_as("operator")
    response = client.get("/contacts/export/?columns=name,fields.seats,conversations&sort=name")
    text = b"".join(response.streaming_content).decode().removeprefix("\ufeff")  # type: ignore[attr-defined]
    rows = list(csv.DictReader(StringIO(text)))
    assert [row["name"] for row in rows] == ["'=cmd() Adams", "Ada Lovelace", ""]
    assert rows[1] == {
        "id": people["ada"].public_id,
        "name": "Ada Lovelace",
        "fields.seats": "12",
        "conversations": "0",
    }
    assert client.get("/contacts/export/?nonsense=1").status_code == 400
    assert client_as("viewer").get("/contacts/export/").status_code == 403


def test_columns_can_be_chosen(people: dict[str, Contact], client: Client) -> None:
    client = client_as("viewer")
    page = client.get(f"{PAGE}?columns=id&columns=fields.seats").text
    assert "Seats" in page
    assert people["ada"].public_id in page
    assert "Conversations" not in page.split("<thead>")[1].split("</thead>")[0]
    chooser = client.get("/contacts/columns/?columns=id", headers=HTMX).text
    assert chooser.count("checked") == 1

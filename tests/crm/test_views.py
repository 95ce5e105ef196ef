"""Pages of CRM connections: what can be added, what was sent, and what waits for approval."""

import re
from dataclasses import asdict
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Role, User
from apps.contacts.models import Contact
from apps.crm.connectors.base import FieldType, RemoteField
from apps.crm.connectors.registry import CONNECTORS
from apps.crm.models import CrmConnection, Push, PushState
from apps.crm.views.pushes import APPROVALS
from tests.factories import make_contact, make_contact_field
from tests.factories.crm import make_connection, make_push

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_user("boss", role=Role.ADMIN))
    return client


@pytest.mark.parametrize("kind", CONNECTORS)
def test_list_offers_a_connection_of_each_kind(admin: Client, kind: str) -> None:
    page = admin.get("/crm/").text

    assert f'href="/crm/new/{kind}/"' in page
    assert CONNECTORS[kind].label in page


@pytest.mark.parametrize("kind", CONNECTORS)
def test_form_asks_for_what_a_kind_needs(admin: Client, kind: str) -> None:
    page = admin.get(f"/crm/new/{kind}/").text

    assert f'action="/crm/new/{kind}/"' in page
    for setting in CONNECTORS[kind].settings:
        assert f'name="{setting.name}"' in page, setting.name


def test_new_connection_shows_its_signing_secret_once(admin: Client) -> None:
    form = {"name": "Our warehouse", "url": "https://8.8.8.8/contacts", "secret": ""}

    shown = admin.post("/crm/new/http/", form).text

    made = CrmConnection.objects.get()
    assert made.name == "Our warehouse"
    assert "whsec_" in shown
    assert "whsec_" not in admin.get(f"/crm/{made.public_id}/").text
    assert "whsec_" not in admin.get(f"/crm/{made.public_id}/edit/").text


def test_wrong_settings_are_named_at_their_place(admin: Client) -> None:
    form = {"name": "Ours", "url": "ftp://8.8.8.8/", "secret": "short"}

    page = admin.post("/crm/new/http/", form).text

    assert "Enter a secret that starts with whsec_, followed by base64." in page
    assert not CrmConnection.objects.exists()


def test_pushes_show_what_was_sent_and_what_came_back(admin: Client) -> None:
    push = make_push(
        contact=make_contact(first_name="Ada"),
        wanted={"first_name": "Ada"},
        state=PushState.PARKED,
        sent={"FirstName": "Ada"},
        message="The value is too long.",
        response='{"error": "too long"}',
        finished_at="2026-01-01T00:00Z",
    )

    listed = admin.get(f"/crm/{push.connection.public_id}/?state=parked").text
    page = admin.get(f"/crm/{push.connection.public_id}/{push.public_id}/").text

    assert push.public_id in listed
    assert "The value is too long." in page
    assert "too long&quot;" in page


def test_unknown_state_is_one_sentence(admin: Client) -> None:
    connection = make_connection()

    page = admin.get(f"/crm/{connection.public_id}/?state=lost").text

    assert "Unknown state “lost”." in page


def test_sending_again_makes_a_push_pending(admin: Client) -> None:
    push = make_push(
        wanted={"first_name": "Ada"}, state=PushState.PARKED, finished_at="2026-01-01T00:00Z"
    )
    place = f"/crm/{push.connection.public_id}/{push.public_id}/"

    admin.post(f"{place}again/")

    push.refresh_from_db()
    assert push.state == PushState.PENDING


@pytest.mark.parametrize(
    ("action", "state"),
    [("approve", PushState.PENDING), ("reject", PushState.DROPPED)],
)
def test_some_changes_are_decided_and_others_wait(
    admin: Client, action: str, state: PushState
) -> None:
    connection = make_connection(approval=True)
    pushes = [
        make_push(
            connection=connection,
            contact=make_contact(first_name=name),
            wanted={"first_name": name},
            state=PushState.WAITING,
        )
        for name in ("Ada", "Grace")
    ]
    place = f"/crm/{connection.public_id}/approval/"
    page = admin.get(place).text
    assert "Ada" in page
    shown = [f"{push.public_id}:{push.revision}" for push in pushes]

    admin.post(place, {"action": action, "push": [pushes[0].public_id], "shown": shown})

    states = dict(Push.objects.values_list("pk", "state"))
    assert states == {pushes[0].pk: state, pushes[1].pk: PushState.WAITING}


@pytest.mark.parametrize("action", ["approve", "reject"])
def test_deciding_on_nothing_asks_for_a_selection(admin: Client, action: str) -> None:
    push = make_push(wanted={"first_name": "Ada"}, state=PushState.WAITING)
    place = f"/crm/{push.connection.public_id}/approval/"

    page = admin.post(place, {"action": action, "shown": f"{push.public_id}:1"}, follow=True)

    assert "Select at least one contact." in page.text
    push.refresh_from_db()
    assert push.state == PushState.WAITING


def test_connection_without_mapped_fields_says_that_nothing_is_sent(admin: Client) -> None:
    crm = make_connection(kind="hubspot", field_map={})
    place = f"/crm/{crm.public_id}/"

    assert "Test the connection to read its fields" in admin.get(place).text

    crm.field_map = {"first_name": "firstname"}
    crm.save()
    page = admin.get(place).text
    assert "Nothing is sent yet." not in page
    assert "First name" in page
    assert "<code>firstname</code>" in page


def test_pushes_of_one_contact_are_reached_from_its_page(admin: Client) -> None:
    ada, grace = make_contact(first_name="Ada"), make_contact(first_name="Grace")
    crm = make_connection()
    mine, other = (
        make_push(connection=crm, contact=contact, wanted={"first_name": "X"})
        for contact in (ada, grace)
    )
    place = f"/crm/{crm.public_id}/?contact={ada.public_id}"

    assert f'href="{place}"' in admin.get(f"/contacts/{ada.public_id}/").text
    page = admin.get(place).text
    assert mine.public_id in page
    assert other.public_id not in page
    assert "No matching pushes" in admin.get(f"/crm/{crm.public_id}/?contact=ct_gone").text

    admin.force_login(User.objects.create_user("reader", role=Role.VIEWER))
    assert "/crm/" not in admin.get(f"/contacts/{ada.public_id}/").text.split('id="main"')[-1]


def test_values_of_pushes_are_shown_as_on_the_contact(admin: Client) -> None:
    make_contact_field("vip", "boolean")
    make_contact_field("since", "date")
    push = make_push(
        contact=make_contact(),
        wanted={"vip": True, "since": "2026-03-01", "gone": 3},
        before={"since": "not a date"},
    )

    page = admin.get(f"/crm/{push.connection.public_id}/{push.public_id}/").text

    texts = re.findall(r"<(ins|del)>\s*(.*?)\s*</", page)
    assert set(texts) == {
        ("ins", "Yes"),
        ("del", "not a date"),
        ("ins", "Mar 1, 2026"),
        ("ins", "3"),
    }


def test_one_parked_push_is_counted_in_words(admin: Client) -> None:
    push = make_push(
        wanted={"first_name": "A"}, state=PushState.PARKED, finished_at="2026-01-01T00:00Z"
    )
    place = f"/crm/{push.connection.public_id}/again/"

    assert "1 push queued." in admin.post(place, follow=True).text


@pytest.mark.parametrize(
    ("action", "state"),
    [("approve", PushState.PENDING), ("reject", PushState.DROPPED)],
)
def test_more_changes_than_fit_on_a_page_are_decided_at_once(
    admin: Client, action: str, state: PushState
) -> None:
    crm = make_connection(approval=True)
    contacts = Contact.objects.bulk_create(
        Contact(email=f"c{number}@example.com") for number in range(APPROVALS + 2)
    )
    for contact in contacts:
        make_push(
            connection=crm,
            contact=contact,
            wanted={"first_name": "Ada"},
            state=PushState.WAITING,
        )
    place = f"/crm/{crm.public_id}/approval/"
    page = admin.get(place).text
    assert f"Approve all {APPROVALS + 2}" in page
    [as_of] = re.findall(r'name="as_of" value="([^"]+)"', page)
    late = Push.objects.latest("pk")
    Push.objects.filter(pk=late.pk).update(changed_at=timezone.now() + timedelta(minutes=1))

    for odd in ("", "soon", "2026-01-01T00:00", "2026-13-01T00:00+00:00"):
        admin.post(place, {"action": f"{action}_every", "as_of": odd})
    assert not Push.objects.exclude(state=PushState.WAITING).exists()
    admin.post(place, {"action": f"{action}_every", "as_of": as_of})

    assert Push.objects.filter(state=state).count() == APPROVALS + 1
    late.refresh_from_db()
    assert late.state == PushState.WAITING


def test_failed_connection_test_leads_to_the_settings(admin: Client) -> None:
    connection = make_connection(kind="http")
    shown = admin.post(f"/crm/{connection.public_id}/test/").text
    assert 'role="alert"' in shown
    assert f'href="/crm/{connection.public_id}/edit/"' in shown


def test_connection_test_reloads_the_page_behind_the_dialog(admin: Client) -> None:
    place = f"/crm/{make_connection(kind='http').public_id}/test/"

    assert "HX-Trigger" not in admin.get(place).headers
    assert "crm:changed" in admin.post(place).headers["HX-Trigger"]


def test_each_contact_field_is_offered_the_crm_fields_of_its_type(admin: Client) -> None:
    make_contact_field("score", "number")
    remote = [
        asdict(RemoteField(name, name.title(), FieldType(kind), writable=name != "made"))
        for name, kind in [("note", "text"), ("points", "number"), ("since", "date"),
                           ("made", "text"), ("origin", "other")]
    ]  # fmt: skip
    crm = make_connection(
        kind="hubspot", remote_fields=remote, fields_read_at=timezone.now(),
        field_map={"email": "since", "last_name": "gone"},
    )  # fmt: skip

    page = admin.get(f"/crm/{crm.public_id}/edit/").text

    def offered(name: str) -> list[str]:
        [select] = re.findall(rf'name="field_map.{name}".*?</select>', page, re.DOTALL)
        return re.findall(r'value="(\w+)"', select)

    assert offered("first_name") == ["note"]
    assert offered("score") == ["note", "points"]
    # A mapping that no longer fits stays as it is until an admin changes it.
    assert offered("email") == ["note", "since"]
    assert offered("last_name") == ["note", "gone"]


@pytest.mark.parametrize("action", ["edit", "disable", "enable"])
def test_change_loads_the_page_with_its_new_title_and_buttons(admin: Client, action: str) -> None:
    place = f"/crm/{make_connection().public_id}/"
    form = {"name": "Renamed", "url": "https://8.8.8.8/contacts"}

    done = admin.post(f"{place}{action}/", form, headers={"HX-Request": "true"})

    assert done.headers["HX-Redirect"] == place


def test_disabled_connection_says_once_that_it_is_disabled(admin: Client) -> None:
    crm = make_connection()
    admin.post(f"/crm/{crm.public_id}/disable/")

    page = admin.get(f"/crm/{crm.public_id}/").text

    assert "<strong>Disabled by boss.</strong>" in page
    assert "<strong>Disabled.</strong>" not in page

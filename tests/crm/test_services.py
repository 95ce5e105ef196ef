"""Connections are checked when they are saved; pushes are approved as shown and sent again."""

import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.actors import Actor
from apps.accounts.models import Role
from apps.core.cipher import decrypt, encrypt
from apps.crm import services
from apps.crm.models import CrmConnection, Push
from apps.crm.services import InvalidConnection, UnableToSend, Wanted
from tests.crm.pushing import change, push, states
from tests.factories import client_as, make_connection, make_contact, make_contact_field
from tests.fakes.receiver import Answer, Receiver

pytestmark = pytest.mark.django_db
BY = Actor.system("tests")
REMOTE = [
    {"name": "tier", "label": "Tier", "type": "choice", "writable": True, "vendor_type": "enum",
     "choices": ["free", "pro"]},
    {"name": "note", "label": "Note", "type": "text", "writable": True, "vendor_type": "string",
     "choices": []},
    {"name": "made", "label": "Made", "type": "text", "writable": False, "vendor_type": "string",
     "choices": []},
]  # fmt: skip


def test_a_connection_is_created_with_a_secret_that_is_never_read() -> None:
    wanted = Wanted("Ours", {"url": "https://example.com/crm"})
    crm, secret = services.create_connection(kind="http", wanted=wanted, by=BY)
    assert secret.startswith("whsec_")
    assert json.loads(decrypt(crm.secret_encrypted)) == {"secret": secret}
    assert "secret" not in crm.config
    change_name = Wanted("Renamed", {"url": "https://example.com/crm"})
    changed = services.change_connection(connection=crm, wanted=change_name, by=BY)
    assert json.loads(decrypt(changed.secret_encrypted)) == {"secret": secret}


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (Wanted("", {"url": "https://example.com"}), "name"),
        (Wanted("A", {}), "url"),
        (Wanted("A", {"url": "ftp://example.com"}), "url"),
        (Wanted("A", {"url": "https://example.com", "secret": "short"}), "secret"),
        (Wanted("A", {"url": "https://example.com", "color": "red"}), "color"),
        (Wanted("A", {"url": "https://example.com"}, {"phone_number": "p"}),
         "field_map.phone_number"),
        (Wanted("A", {"url": "https://example.com"}, {"unknown": "p"}), "field_map.unknown"),
    ],
)  # fmt: skip
def test_wrong_settings_are_rejected_at_their_place(wanted: Wanted, field: str) -> None:
    with pytest.raises(InvalidConnection) as caught:
        services.create_connection(kind="http", wanted=wanted, by=BY)
    assert list(caught.value.fields) == [field]
    assert not CrmConnection.objects.exists()


@pytest.mark.parametrize(
    ("field_map", "word"),
    [
        ({"plan": "tier"}, "no option “team”"),
        ({"email": "tier"}, "contact field is text"),
        ({"email": "made"}, "can’t be changed"),
        ({"email": "gone"}, "no field “gone”"),
        ({"email": "note", "plan": "note"}, "twice"),
    ],
)
def test_types_are_checked_when_the_mapping_is_saved(field_map: Any, word: str) -> None:
    make_contact_field("plan", "choice", choices=["pro", "team"])
    crm = make_connection(
        kind="hubspot", config={}, remote_fields=REMOTE,
        secret_encrypted=encrypt('{"access_token": "pat-na1-x"}'),
    )  # fmt: skip
    with pytest.raises(InvalidConnection, match=word):
        services.change_connection(connection=crm, wanted=Wanted("A", {}, field_map), by=BY)


def test_send_again_writes_the_current_values(receiver: Receiver) -> None:
    crm = make_connection(receiver.url)
    contact = make_contact()
    change([contact], plan="pro")
    push()
    change([contact], note="Hi")
    (old,) = Push.objects.filter(state="sent")
    services.send_again(push=old, by=BY)
    assert states() == {"pending": 1, "dropped": 1}  # one request for both
    push()
    assert receiver.received[-1].payload["after"] == {"plan": "pro", "note": "Hi"}
    services.send_again(push=Push.objects.get(state="sent"), by=BY)
    push()
    assert len(receiver.received) == 3
    services.disable_connection(connection=crm, by=BY)
    with pytest.raises(UnableToSend, match="disabled"):
        services.send_again(push=Push.objects.get(state="sent"), by=BY)


def test_all_parked_ones_are_sent_again(receiver: Receiver) -> None:
    crm = make_connection(receiver.url)
    contacts = [make_contact() for _ in range(3)]
    receiver.always(Answer(422))
    change(contacts, plan="pro")
    push()
    receiver.always(Answer())
    assert services.send_parked_again(connection=crm, by=BY) == 3
    push()
    assert states() == {"sent": 3}
    with pytest.raises(UnableToSend):
        services.send_parked_again(connection=crm, by=BY)


def test_only_the_values_that_were_shown_are_approved(receiver: Receiver) -> None:
    crm = make_connection(receiver.url, approval=True)
    one, two, three = (make_contact() for _ in range(3))
    change([one, two, three], plan="pro")
    assert push() == 0
    shown = dict(Push.objects.values_list("public_id", "revision"))
    change([two], plan="team")  # while an admin looks at the page
    by_contact = dict(Push.objects.values_list("contact_id", "public_id"))
    assert services.approve(connection=crm, shown=services.Shown(shown), by=BY) == 2
    change([one], plan="max")  # approved as pro, and not sent yet
    push()
    assert [r.payload["contact"]["id"] for r in receiver.received] == [three.public_id]
    waiting = Push.objects.filter(state="waiting_for_approval")
    assert set(waiting.values_list("contact_id", flat=True)) == {one.pk, two.pk}
    again = dict(waiting.values_list("public_id", "revision"))
    ids = [by_contact[two.pk]]
    assert services.reject(connection=crm, shown=services.Shown(again, ids), by=BY) == 1
    assert services.approve(connection=crm, shown=services.Shown(again), by=BY) == 1
    push()
    assert receiver.received[-1].payload["after"] == {"plan": "max"}


def test_pages_create_edit_test_and_approve(receiver: Receiver) -> None:
    client: Client = client_as(Role.ADMIN)
    page = client.post(reverse("crm:new", args=["http"]), {"name": "Ours", "url": receiver.url})
    assert "whsec_" in page.content.decode()
    crm = CrmConnection.objects.get()
    assert "No pushes" in client.get(reverse("crm:detail", args=[crm.public_id])).content.decode()
    tested = client.post(reverse("crm:test", args=[crm.public_id])).content.decode()
    assert "accepted an example" in tested
    assert receiver.received[0].payload["test"] is True
    data = {"name": "Ours", "url": receiver.url, "approval": "on", "field_map.email": "mail"}
    client.post(reverse("crm:edit", args=[crm.public_id]), data)
    crm.refresh_from_db()
    assert (crm.approval, crm.field_map, crm.site_url) == (
        True, {"email": "mail"}, "http://testserver/",
    )  # fmt: skip
    CrmConnection.objects.update(field_map={})
    contact = make_contact()
    change([contact], plan="pro")
    waiting = Push.objects.get()
    address = reverse("crm:approval", args=[crm.public_id])
    assert "pro" in client.get(address).content.decode()
    shown = f"{waiting.public_id}:{waiting.revision}"
    client.post(address, {"action": "approve", "shown": shown, "push": waiting.public_id})
    assert states() == {"pending": 1}
    push()
    detail = client.get(reverse("crm:push", args=[crm.public_id, waiting.public_id]))
    assert "contact.changed" in detail.content.decode()
    assert "Ours" in client.get(reverse("crm:list")).content.decode()
    bad = client.post(reverse("crm:edit", args=[crm.public_id]), data | {"url": "nowhere"})
    assert "must start with https://" in bad.content.decode()

"""Contacts on their way through the queue into HubSpot and Salesforce."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from apps.accounts.actors import Actor
from apps.contacts.models import Contact
from apps.conversations.models import Conversation
from apps.core.cipher import encrypt
from apps.crm import services
from apps.crm.connectors import pace
from apps.crm.models import CrmConnection, Push, RemoteContact
from apps.crm.outbox import ContactChange, contacts_changed
from apps.mappings.marked_contacts import fold_marked
from tests.crm.pushing import change, push, states
from tests.crm.vendors import Clock
from tests.factories import (
    make_agent,
    make_connection,
    make_contact,
    make_contact_field,
    make_conversations,
    make_mapping,
)
from tests.fakes.hubspot import TOKEN, HubSpotServer
from tests.fakes.salesforce import CLIENT_ID, CLIENT_SECRET, SalesforceServer
from tests.fakes.vendor_server import Reply
from tests.runs.completed import backfill
from tests.webhooks.deliveries import new_clock

pytestmark = pytest.mark.django_db

LONG = "x" * 70_000
PLAN = {"hubspot": "plan", "salesforce": "Plan__c"}
UPDATE = {"hubspot": "/contacts/batch/update", "salesforce": "/composite/sobjects"}
EMAIL = {"hubspot": "email", "salesforce": "Email"}


@dataclass
class Vendor:
    """A fake vendor, the connection to it, and the clock of the connector's waiting."""

    server: HubSpotServer | SalesforceServer
    crm: CrmConnection
    clock: Clock

    @property
    def kind(self) -> str:
        return self.crm.kind

    def add(self, contacts: list[Contact]) -> None:
        """Let the vendor have a record of each contact."""
        for contact in contacts:
            self.server.add_contact(**{EMAIL[self.kind]: contact.email})

    def held(self) -> Counter[str]:
        """How many records hold each plan."""
        plans = (record.get(PLAN[self.kind]) for record in self.server.contacts.values())
        return Counter(plan for plan in plans if plan)


@pytest.fixture(params=["hubspot", "salesforce"])
def vendor(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> Iterator[Vendor]:
    """Each vendor with a text field that the contact field *plan* is mapped to."""
    clock = Clock()
    monkeypatch.setattr(pace, "Machine", lambda: clock)
    server: HubSpotServer | SalesforceServer
    if request.param == "hubspot":
        server = HubSpotServer(clock.now)
        server.limit = 100
        server.add_property("plan")
        settings.HUBSPOT_API_URL = server.url
        config, secrets = {}, {"access_token": TOKEN}
    else:
        server = SalesforceServer()
        server.add_field("Plan__c")
        config = {"domain": server.url, "client_id": CLIENT_ID}
        secrets = {"client_secret": CLIENT_SECRET}
    crm = make_connection(
        kind=request.param,
        config=config,
        secret_encrypted=encrypt(json.dumps(secrets)),
        field_map={"plan": PLAN[request.param]},
    )
    yield Vendor(server, crm, clock)
    server.close()


def people(number: int) -> list[Contact]:
    return Contact.objects.bulk_create(
        Contact(email=f"c{i}@example.com", phone_number=f"+1555{i:07d}") for i in range(number)
    )


def change_all(contacts: list[Contact], plan: str) -> None:
    """Give all contacts this plan, in one statement instead of one case for each of them."""
    changes = [
        ContactChange(one.pk, {"plan": one.fields.get("plan")}, {"plan": plan}) for one in contacts
    ]
    Contact.objects.update(fields={"plan": plan})
    for one in contacts:
        one.fields = {"plan": plan}
    contacts_changed(changes)


@pytest.mark.parametrize("number", [400, pytest.param(10_000, marks=pytest.mark.slow)])
def test_each_contact_is_written_once_after_an_outage(vendor: Vendor, number: int) -> None:
    contacts = people(number)
    vendor.add(contacts)
    now = new_clock()
    # Ten conversations of each contact change it before anything is sent, while the CRM is down.
    vendor.server.down = True
    for plan in ("free", "pro"):
        change_all(contacts, plan)
    for _ in range(3):
        push(now)
        now.move(hours=1)
    assert states() == {"pending": number}
    assert not vendor.server.writes
    failed = len(vendor.server.calls)
    assert failed < 100  # a resting connection sends one contact at a time

    vendor.server.down = False
    for _ in range(3):
        push(now)
        now.move(hours=1)
    assert states() == {"sent": number}
    assert vendor.held() == {"pro": number}
    assert set(vendor.server.writes.values()) == {1}
    assert len(vendor.server.writes) == number
    assert RemoteContact.objects.exclude(remote_id="").count() == number
    assert 429 not in vendor.server.statuses

    # The second change of all finds the records by their IDs: no lookup.
    vendor.clock.time += 60  # each push here is a new process, which knows of no earlier request
    before = len(vendor.server.calls)
    change_all(contacts, "team")
    push(now)
    batch = 100 if vendor.kind == "hubspot" else 200
    assert len(vendor.server.calls) - before <= number // batch + 3
    assert vendor.held() == {"team": number}
    assert set(vendor.server.writes.values()) == {2}


@pytest.mark.parametrize("number", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_two_backfills_write_each_contact_once(vendor: Vendor, number: int) -> None:
    """Two conversations of each contact get two results each, and each fold sees one backfill."""
    make_contact_field("plan")
    make_mapping("plan", "plan")
    contacts = people(number)
    vendor.add(contacts)
    conversations = make_conversations(make_agent(), 2 * number)
    for place, conversation in enumerate(conversations):
        conversation.contact = contacts[place // 2]
    Conversation.objects.bulk_update(conversations, ["contact"], batch_size=1_000)
    newer, older = {"plan": "pro"}, {"plan": "free"}
    for outputs in ([older, older], [newer, older]):
        backfill(outputs * number)
        while fold_marked():
            pass
    assert states() == {"pending": number}
    push()
    assert states() == {"sent": number}
    assert vendor.held() == {"pro": number}
    assert len(vendor.server.writes) == number
    assert set(vendor.server.writes.values()) == {1}


def test_mixed_batch_parks_only_what_was_rejected(vendor: Vendor) -> None:
    contacts = people(30)
    vendor.add(contacts[:29])
    change(contacts, plan="pro")
    change(contacts[:1], plan=LONG)
    push()
    assert states() == {"sent": 29, "parked": 1}
    parked = Push.objects.get(state="parked")
    assert parked.contact_id == contacts[29].pk
    assert "no contact with this email address" in parked.message
    assert vendor.held()["pro"] == 28


def test_wrong_secret_disables_the_connection_and_keeps_the_pushes(vendor: Vendor) -> None:
    contacts = people(3)
    vendor.add(contacts)
    wrong = {"access_token": "pat-na1-0000", "client_secret": "0000"}
    vendor.crm.secret_encrypted = encrypt(json.dumps(wrong))
    vendor.crm.save()
    change(contacts, plan="pro")
    push()
    vendor.crm.refresh_from_db()
    assert not vendor.crm.is_enabled
    assert states() == {"pending": 3}
    stored = json.dumps([*Push.objects.values("message", "request", "response")])
    assert "0000" not in stored + vendor.crm.last_error
    assert not vendor.server.writes


ODD = {
    "204": Reply(204),
    "empty": Reply(200),
    "page": Reply(200, "<html>Maintenance</html>"),
    "large page": Reply(503, "<p>Sorry</p>" * 50_000),
    "large text": Reply(200, "x" * 500_000),
    "list": Reply(200, []),
    "number": Reply(200, 5),
    "error": Reply(200, {"status": "error", "message": "Something went wrong"}),
    "words": Reply(200, {"results": "x", "fields": "x", "records": "x"}),
    "numbers": Reply(200, {"results": [1], "fields": [1], "records": [1]}),
    "nothing": Reply(200, {"results": [None], "fields": [{}], "records": [{"properties": 1}]}),
}


@pytest.mark.parametrize("reply", ODD.values(), ids=ODD)
def test_odd_responses_lose_no_push(vendor: Vendor, reply: Reply) -> None:
    contacts = people(3)
    vendor.add(contacts)
    now = new_clock()
    change(contacts, plan="pro")
    vendor.server.decide = lambda call: None if "token" in call.path else reply
    push(now)
    assert len(vendor.server.calls) < 20
    assert Push.objects.exclude(state="sent").count() == 3
    assert all(len(text) < 20_000 for text in Push.objects.values_list("response", flat=True))

    vendor.server.decide = lambda call: None
    services.enable_connection(connection=vendor.crm, by=Actor.system("tests"))
    Push.objects.filter(state="parked").update(state="pending", finished_at=None)
    now.move(hours=1)
    push(now)
    now.move(hours=1)
    push(now)
    assert states() == {"sent": 3}
    assert vendor.held() == {"pro": 3}


@pytest.mark.parametrize("reply", ODD.values(), ids=ODD)
def test_odd_responses_end_a_test_with_a_sentence(vendor: Vendor, reply: Reply) -> None:
    by = Actor.system("tests")
    vendor.server.decide = lambda call: None if "token" in call.path else reply
    try:
        fields = services.run_test(vendor.crm, by).fields
    except services.ConnectionFailed:
        fields = ()
    assert not fields

    vendor.server.decide = lambda call: reply
    if vendor.kind == "salesforce":
        with pytest.raises(services.ConnectionFailed, match=r"^.{10,900}$"):
            services.run_test(vendor.crm, by)


def test_erased_contact_is_not_written(vendor: Vendor) -> None:
    contacts = people(2)
    vendor.add(contacts)
    change(contacts, plan="pro")
    contacts[0].delete()
    push()
    assert vendor.held() == {"pro": 1}
    assert Push.objects.count() == 1


def test_contact_that_appears_later_is_written_when_sent_again(vendor: Vendor) -> None:
    contact = make_contact(email="ada@example.com")
    change([contact], plan="pro")
    push()
    assert states() == {"parked": 1}
    vendor.add([contact])
    Push.objects.update(state="pending", finished_at=None)
    push()
    assert states() == {"sent": 1}
    assert vendor.held() == {"pro": 1}


def test_value_that_no_longer_fits_does_not_hold_up_the_others(vendor: Vendor) -> None:
    make_contact_field("age", "number")
    contacts = people(1)
    vendor.add(contacts)
    target = {"hubspot": "company", "salesforce": "FirstName"}[vendor.kind]
    vendor.crm.field_map |= {"note": target, "age": "gone"}
    vendor.crm.save()
    change(contacts, plan="pro", note="Hi", age=3)
    push()
    parked = Push.objects.get()
    assert parked.state == "parked"
    assert "has no field “gone”" in parked.message
    [record] = vendor.server.contacts.values()
    assert (record[PLAN[vendor.kind]], record[target]) == ("pro", "Hi")

    # Only the rejected value is new to the CRM when it is sent again.
    if isinstance(vendor.server, HubSpotServer):
        vendor.server.add_property("gone", "number")
    else:
        vendor.server.add_field("gone", "double")
    Push.objects.update(state="pending", finished_at=None)
    push()
    assert states() == {"sent": 1}
    assert Push.objects.get().sent == {"gone": 3}


def test_connection_test_stores_the_fields_that_mappings_are_checked_against(
    vendor: Vendor,
) -> None:
    make_contact_field("tier", "choice", choices=["Gold Plan", "silver"])
    make_contact_field("topics", "text")
    if isinstance(vendor.server, HubSpotServer):
        vendor.server.add_property("tier", "enumeration", "gold_plan", "silver")
        vendor.server.add_property("topics", "enumeration", "a", "b", fieldType="checkbox")
    else:
        vendor.server.add_field("tier", "picklist", "gold_plan", "silver")
        vendor.server.add_field("topics", "multipicklist", "a", "b")
    contacts = people(1)
    vendor.add(contacts)
    by = Actor.system("tests")
    findings = services.run_test(vendor.crm, by)
    assert findings.sample
    vendor.crm.refresh_from_db()

    phone = {"hubspot": "phone", "salesforce": "Phone"}[vendor.kind]
    settings = vendor.crm.config
    wanted = services.Wanted("A", settings, {"topics": phone})
    with pytest.raises(services.InvalidConnection, match="can’t be changed"):
        services.change_connection(connection=vendor.crm, wanted=wanted, by=by)
    wanted = services.Wanted("A", settings, {"tier": "tier", "topics": "topics"})
    services.change_connection(connection=vendor.crm, wanted=wanted, by=by)
    change(contacts, tier="Gold Plan", topics="b; a")
    push()
    assert states() == {"sent": 1}
    [record] = vendor.server.contacts.values()
    assert (record["tier"], record["topics"]) == ("gold_plan", "b;a")

"""Pushes reach an HTTP endpoint: once per contact, with the newest values, none lost."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.contacts.models import Contact
from apps.crm.claims import work_waits
from apps.crm.models import CrmConnection, Push, RemoteContact
from apps.crm.push_queue import PushQueue
from apps.crm.retention import KEPT, forget_old
from tests.crm.pushing import change, perform, push, states
from tests.factories import (
    make_agent,
    make_connection,
    make_contact,
    make_conversation,
    make_push,
)
from tests.fakes.receiver import Answer, Received, Receiver
from tests.webhooks.deliveries import new_clock

pytestmark = pytest.mark.django_db


def ids_of(received: list[Received]) -> list[str]:
    return [one.payload["contact"]["id"] for one in received]


def test_a_change_is_one_signed_request(receiver: Receiver) -> None:
    make_connection(receiver.url)
    conversation = make_conversation(make_agent())
    contact = make_contact(first_name="Ada", email="ada@example.com")
    change([contact], conversation.pk, plan="pro")
    assert push() == 1
    (one,) = receiver.received
    assert one.verified
    assert one.payload | {"timestamp": ""} == {
        "event": "contact.changed",
        "timestamp": "",
        "contact": {
            "id": contact.public_id,
            "phone_number": contact.phone_number,
            "email": "ada@example.com",
            "first_name": "Ada",
            "last_name": None,
        },
        "before": {"plan": None},
        "after": {"plan": "pro"},
        "conversation_ids": [conversation.public_id],
    }
    found = Push.objects.get()
    assert (found.state, found.sent, found.last_status) == ("sent", {"plan": "pro"}, 204)
    assert one.id in found.request
    assert one.headers["webhook-signature"] not in found.request


def test_a_field_map_renames_and_leaves_out(receiver: Receiver) -> None:
    make_connection(receiver.url, field_map={"plan": "tier"})
    change([make_contact()], plan="pro", note="Hi")
    push()
    assert receiver.received[0].payload["after"] == {"tier": "pro"}


def test_the_newest_values_are_sent_and_equal_ones_are_not(receiver: Receiver) -> None:
    make_connection(receiver.url)
    contact = make_contact()
    change([contact], plan="pro", note="a")
    change([contact], plan="team")
    push()
    change([contact], plan="max")
    change([contact], plan="team")  # as it was sent
    push()
    assert [one.payload["after"] for one in receiver.received] == [{"plan": "team", "note": "a"}]
    assert states() == {"sent": 1, "dropped": 1}


def test_a_value_that_went_back_before_it_was_sent_is_not_sent(receiver: Receiver) -> None:
    make_connection(receiver.url)
    contact = make_contact(fields={"plan": "free"})
    change([contact], plan="pro")
    change([contact], plan="free")
    assert push() == 0
    assert states() == {"dropped": 1}


def test_a_change_during_a_request_is_sent_after_it(receiver: Receiver) -> None:
    make_connection(receiver.url)
    contact = make_contact()
    change([contact], plan="pro")
    queue = PushQueue()
    (job,) = queue.claim(10)
    change([contact], plan="team")  # joins the push that is on its way
    assert queue.claim(10) == []
    queue.hand_back([job])
    push()
    assert [one.payload["after"] for one in receiver.received] == [{"plan": "team"}]

    change([contact], plan="max")
    (job,) = queue.claim(10)
    change([contact], plan="mini")
    perform(queue, job)
    assert states() == {"sent": 1, "pending": 1}
    push()
    assert [one.payload["after"]["plan"] for one in receiver.received] == ["team", "max", "mini"]
    assert len({one.id for one in receiver.received}) == 3


def test_a_rejected_contact_is_parked_alone(receiver: Receiver) -> None:
    make_connection(receiver.url)
    bad, good = make_contact(), make_contact()

    def decide(received: Received) -> Answer:
        rejected = received.payload["contact"]["id"] == bad.public_id
        return Answer(422, "Unknown plan “pro”.") if rejected else Answer()

    receiver.decide = decide
    change([bad, good], plan="pro")
    push()
    assert states() == {"parked": 1, "sent": 1}
    parked = Push.objects.get(state="parked")
    assert "422" in parked.message
    assert "Unknown plan" in parked.response
    connection = CrmConnection.objects.get()
    assert connection.consecutive_failures == 0
    assert RemoteContact.objects.filter(contact=bad).count() == 0


@pytest.mark.parametrize("status", [401, 403, 410])
def test_rejected_credentials_stop_the_connection_and_lose_nothing(
    receiver: Receiver, status: int
) -> None:
    make_connection(receiver.url)
    contact = make_contact()
    receiver.always(Answer(status))
    change([contact], plan="pro")
    push()
    crm = CrmConnection.objects.get()
    assert crm.disabled_cause == "rejected"
    assert str(status) in crm.disabled_reason
    assert not work_waits(timezone.now())
    change([contact], plan="team")
    assert states() == {"pending": 1}
    crm.disabled_at, crm.disabled_cause, crm.disabled_reason = None, "", ""
    crm.save()
    Push.objects.update(not_before=timezone.now())
    receiver.always(Answer())
    push()
    assert receiver.received[-1].payload["after"] == {"plan": "team"}


def test_a_connection_that_is_down_rests_and_then_gets_everything(receiver: Receiver) -> None:
    make_connection(receiver.url)
    contacts = [make_contact() for _ in range(40)]
    change(contacts, plan="pro")
    clock = new_clock()
    receiver.always(Answer(503))
    for _ in range(6):
        push(clock)
        clock.move(minutes=20)
    crm = CrmConnection.objects.get()
    assert crm.consecutive_failures >= 5
    assert "503" in crm.last_error
    assert len(receiver.received) < 100  # it rests: the backlog isn't thrown at it
    clock.move(days=3)
    push(clock)
    receiver.always(Answer())
    clock.move(minutes=20)
    push(clock)
    assert states() == {"sent": 40}
    assert sorted(ids_of(receiver.taken)) == sorted(one.public_id for one in contacts)
    assert CrmConnection.objects.get().last_error == ""


def test_a_rate_limit_is_respected(receiver: Receiver) -> None:
    make_connection(receiver.url)
    receiver.always(Answer(429, headers={"Retry-After": "90"}))
    change([make_contact()], plan="pro")
    clock = new_clock()
    push(clock)
    receiver.always(Answer())
    change([make_contact()], plan="pro")
    clock.move(seconds=80)
    assert push(clock) == 0
    clock.move(seconds=15)
    assert push(clock) == 2
    assert states() == {"sent": 2}


def test_each_of_many_contacts_is_one_request(receiver: Receiver) -> None:
    make_connection(receiver.url)
    contacts = Contact.objects.bulk_create(Contact(email=f"{n}@example.com") for n in range(200))
    change(contacts, plan="pro")
    change(contacts, plan="team")
    push()
    assert states() == {"sent": 200}
    assert sorted(ids_of(receiver.received)) == sorted(one.public_id for one in contacts)
    assert not receiver.twice
    assert receiver.most_at_once <= 8


def test_a_claim_holds_its_pushes_and_a_handed_back_one_is_free(receiver: Receiver) -> None:
    make_connection(receiver.url)
    change([make_contact()], plan="pro")
    first, second = PushQueue(), PushQueue()
    (job,) = first.claim(10)
    assert second.claim(10) == []
    first.extend([job])
    first.hand_back([job])
    assert len(second.claim(10)) == 1


def test_the_pushes_of_a_dead_worker_are_taken_by_another_with_the_same_key(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.work.queue.RESTART_GRACE", 0.0)  # the database of the tests is young
    make_connection(receiver.url)
    change([make_contact()], plan="pro")
    queue = PushQueue()
    (lost,) = queue.claim(10)
    Push.objects.update(lease_until=timezone.now() - timedelta(hours=1))
    (again,) = PushQueue().claim(10)
    assert lost.items[0].change
    assert again.items[0].change
    assert again.items[0].change.idempotency_key == lost.items[0].change.idempotency_key
    assert again.token != lost.token


def test_a_secret_of_another_key_stops_with_its_reason(receiver: Receiver) -> None:
    make_connection(receiver.url, secret_encrypted=b"of another key")
    change([make_contact()], plan="pro")
    push()
    assert "SECRET_KEY" in CrmConnection.objects.get().disabled_reason
    assert receiver.received == []


def test_a_private_address_gets_nothing(receiver: Receiver, settings: Any) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = False
    make_connection(receiver.url)
    change([make_contact()], plan="pro")
    push()
    assert receiver.received == []
    assert "private network" in CrmConnection.objects.get().last_error


def test_old_pushes_are_deleted_but_those_that_wait_for_a_person() -> None:
    long_ago = timezone.now() - KEPT * 2
    for state in ("sent", "dropped", "parked", "failed"):
        make_push(state=state, finished_at=long_ago)
    make_push()
    make_push(state="sent", finished_at=timezone.now())
    forget_old(timezone.now())
    assert states() == {"parked": 1, "failed": 1, "pending": 1, "sent": 1}

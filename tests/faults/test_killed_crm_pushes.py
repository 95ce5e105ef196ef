"""CRM pushes while workers are killed: every contact's last value arrives, none is lost."""

import random
from collections import Counter, defaultdict

import pytest

from apps.contacts.models import Contact
from apps.core.tasks import send
from apps.crm.connectors.http import HttpConnector
from apps.crm.models import Push, PushState, RemoteContact
from tests.crm.pushing import change
from tests.factories import make_connection
from tests.fakes.receiver import Answer, Receiver

from .harness import Workers, wait_until

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _slow_crm(receiver: Receiver) -> None:
    """Something is always on its way."""
    receiver.always(Answer(delay=0.03))


def drum() -> None:
    send("crm.sweep", queue="maintenance", kwargs={})


def kill_at_random(
    receiver: Receiver, workers: Workers, *, contacts: int, kills: int, seed: int, timeout: float
) -> None:
    chance = random.Random(seed)
    make_connection(receiver.url)
    people = Contact.objects.bulk_create(
        Contact(email=f"c{n}@example.com") for n in range(contacts)
    )
    workers.start()
    workers.start()
    change(people, plan="pro")
    moments = sorted(chance.sample(range(contacts // 20, contacts * 8 // 10), kills))

    def kill_now_and_then() -> None:
        if moments and len({one.id for one in receiver.taken}) >= moments[0]:
            moments.pop(0)
            workers.kill_one(chance)

    def over() -> bool:
        """every push is settled"""
        return not Push.objects.filter(state=PushState.PENDING).exists()

    wait_until(over, timeout=timeout, every=0.02, between=kill_now_and_then, drum=drum)

    assert not moments
    assert set(Push.objects.values_list("state", flat=True)) == {PushState.SENT}
    assert Push.objects.count() == RemoteContact.objects.count() == contacts
    assert_each_arrived(receiver, people, kills)


def assert_each_arrived(receiver: Receiver, people: list[Contact], kills: int) -> None:
    """Every contact came, verified; again only what was on its way, under the key it had."""
    assert all(one.verified for one in receiver.received)
    keys: dict[str, list[str]] = defaultdict(list)
    for one in receiver.taken:
        assert one.payload["after"] == {"plan": "pro"}
        keys[one.payload["contact"]["id"]].append(one.id)
    assert set(keys) == {one.public_id for one in people}
    assert all(len(set(ids)) == 1 for ids in keys.values()), "sent again with the same key"
    times = Counter(len(ids) for ids in keys.values())
    again = sum((n - 1) * count for n, count in times.items())
    assert again <= kills * HttpConnector.in_flight, "only what was on its way is sent again"


def test_workers_killed_at_random_lose_no_push(receiver: Receiver, workers: Workers) -> None:
    kill_at_random(receiver, workers, contacts=300, kills=2, seed=21, timeout=120)


@pytest.mark.slow
def test_ten_workers_killed_at_random_lose_no_push(receiver: Receiver, workers: Workers) -> None:
    kill_at_random(receiver, workers, contacts=3_000, kills=10, seed=22, timeout=540)

"""How events reach a receiver: signed, in order, again and again, for a day."""

import json
import time
import uuid
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.core.cipher import encrypt
from apps.core.signed_requests import Reply
from apps.webhooks import claims, record
from apps.webhooks.delivery import DeliveryQueue
from apps.webhooks.models import Delivery, DeliveryState, Endpoint
from apps.webhooks.services import send_again
from apps.work import backoff
from apps.work.host import Host
from apps.work.runner import Runner
from tests.factories import make_agent, make_conversation, make_conversations
from tests.fakes.receiver import SECRET, Answer, Receiver

from .deliveries import deliver, endpoint_to, happened, new_clock, numbers, states

pytestmark = pytest.mark.django_db


def test_an_event_arrives_once_signed_and_whole(receiver: Receiver) -> None:
    endpoint_to(receiver.url)
    happened(make_conversation(make_agent()), b=1, a="ü 你好", nested={"z": 1, "a": [True, None]})

    assert deliver() == 1
    assert deliver() == 0

    (received,) = receiver.received
    delivery = Delivery.objects.select_related("event").get()
    assert received.verified
    assert received.id == delivery.event.public_id
    assert received.headers["content-type"] == "application/json; charset=utf-8"
    assert received.body == delivery.event.payload
    assert received.body == (
        '{"event":"conversation.ended","b":1,"a":"ü 你好","nested":{"z":1,"a":[true,null]}}'
    )
    assert (delivery.state, delivery.last_status, delivery.attempts) == ("delivered", 204, 1)
    assert delivery.duration_ms is not None
    assert f"webhook-id: {received.id}" in delivery.request
    assert received.headers["webhook-signature"] not in delivery.request


@pytest.mark.django_db(transaction=True)
def test_a_process_delivers_with_a_connection_that_it_closes(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.work.host.Runner", partial(Runner, idle=0.1))
    endpoint_to(receiver.url)
    happened(make_conversation(make_agent()))
    before = _connections()

    running = Host()
    try:
        assert running.run(DeliveryQueue()) == 1
        assert running.run(DeliveryQueue()) == 0
    finally:
        running.close()

    deadline = time.monotonic() + 5  # a closed connection's process takes a moment to end
    while _connections() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _connections() <= before
    assert Delivery.objects.get().state == DeliveryState.DELIVERED


def _connections() -> int:
    """How many the database has open to this test's."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def test_events_of_a_conversation_come_in_order_and_others_do_not_wait(receiver: Receiver) -> None:
    endpoint_to(receiver.url)
    agent = make_agent()
    stuck, free = make_conversations(agent, 2)
    for n in range(3):
        happened(stuck, n=n)
    for n in range(10, 13):
        happened(free, n=n)
    clock = new_clock()
    receiver.decide = lambda r: Answer(500 if r.payload["n"] == 0 else 200)

    deliver(clock)

    assert sorted(numbers(receiver.received)) == [0, 10, 11, 12]
    assert [n for n in numbers(receiver.received) if n >= 10] == [10, 11, 12]
    receiver.always(Answer())
    clock.move(minutes=1)
    deliver(clock)
    assert [n for n in numbers(receiver.received) if n < 10] == [0, 0, 1, 2]
    assert states() == {"delivered": 6}


def test_after_one_failed_for_good_the_later_ones_go_on(receiver: Receiver) -> None:
    endpoint_to(receiver.url)
    conversation, other = make_conversations(make_agent(), 2)
    happened(conversation, n=0)
    happened(conversation, n=1)
    clock = new_clock()
    receiver.decide = lambda r: Answer(400 if r.payload["n"] == 0 else 200)

    for hour in range(30):
        happened(other, n=100 + hour)  # so that the endpoint is not taken for dead
        clock.move(hours=1)
        deliver(clock)

    first = Delivery.objects.order_by("pk").first()
    assert first is not None
    assert first.state == DeliveryState.FAILED
    assert first.first_attempt_at
    assert first.last_attempt_at
    assert first.last_attempt_at - first.first_attempt_at >= backoff.DAY
    assert numbers(receiver.received).count(0) == first.attempts > 5
    assert numbers(receiver.received).count(1) == 1
    assert Endpoint.objects.get().is_enabled


def test_down_for_six_hours_then_everything_once_and_in_order(receiver: Receiver) -> None:
    endpoint_to(receiver.url)
    conversations = make_conversations(make_agent(), 20)
    clock = new_clock()
    receiver.always(Answer(drop=True))
    sent = 0
    for round_ in range(6 * 6):
        for conversation in conversations[round_ % 5 :: 5]:
            happened(conversation, n=sent)
            sent += 1
        clock.move(minutes=10)
        deliver(clock)
    attempts_while_down = len(receiver.received)
    receiver.received.clear()

    receiver.always(Answer())
    for _ in range(12):
        clock.move(minutes=1)
        deliver(clock)

    assert sent == 6 * 6 * 4
    assert attempts_while_down < 2 * 6 * 6 + 20, "it is felt, not flooded"
    assert states() == {"delivered": sent}
    assert not receiver.twice
    assert all(received.verified for received in receiver.received)
    order = {pk: n for n, pk in enumerate(receiver.ids)}
    rows = Delivery.objects.order_by("pk").values_list("conversation_key", "event__public_id")
    by_conversation: dict[int | None, list[int]] = {}
    for key, event in rows:
        by_conversation.setdefault(key, []).append(order[event])
    assert len(by_conversation) == 20
    assert all(places == sorted(places) for places in by_conversation.values())


def test_one_that_fails_for_a_day_is_disabled_with_a_notice(receiver: Receiver) -> None:
    endpoint_to(receiver.url)
    clock = new_clock()
    receiver.always(Answer(500, body="out of order"))
    happened(n=0)
    deliver(clock)
    happened(n=1)
    for _ in range(25 * 2):
        clock.move(minutes=30)
        deliver(clock)

    endpoint = Endpoint.objects.get()
    assert endpoint.disabled_cause == "failing"
    assert endpoint.disabled_reason == "Disabled after 24 hours of failures."
    assert states().keys() <= {"failed", "dropped"}
    happened(n=2)  # noted, for whoever enables it again
    assert Delivery.objects.latest("pk").state == DeliveryState.DROPPED
    tried = len(receiver.received)
    assert deliver(clock) == 0
    assert len(receiver.received) == tried


def test_410_disables_at_once(receiver: Receiver) -> None:
    endpoint_to(receiver.url)
    receiver.always(Answer(410))
    conversation = make_conversation(make_agent())
    for n in range(3):
        happened(conversation, n=n)

    deliver()

    endpoint = Endpoint.objects.get()
    assert endpoint.disabled_cause == "gone"
    assert states() == {"failed": 1, "dropped": 2}
    assert numbers(receiver.received) == [0]


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_waited_for(receiver: Receiver, status: int) -> None:
    endpoint_to(receiver.url)
    clock = new_clock()
    receiver.always(Answer(status, headers={"Retry-After": "600"}))
    happened(n=0)
    happened(n=1)
    deliver(clock)
    asked = len(receiver.received)
    receiver.always(Answer())

    clock.move(seconds=590)
    assert deliver(clock) == 0
    clock.move(seconds=20)
    deliver(clock)

    assert states() == {"delivered": 2}
    assert len(receiver.received) == asked + 2


def test_what_is_sent_again_is_tried_like_new(receiver: Receiver) -> None:
    endpoint = endpoint_to(receiver.url)
    receiver.always(Answer(500))
    happened(n=0)
    clock = new_clock()
    while states() != {"failed": 1}:
        Endpoint.objects.update(rest_until=None, failing_since=None)
        deliver(clock)
        clock.move(hours=1)
    tried = Delivery.objects.get().attempts
    assert tried > len(backoff._DELAYS)

    send_again(delivery=endpoint.deliveries.get(), by=Actor.command("tests"))
    for seconds in (5, 30):
        Endpoint.objects.update(rest_until=None)
        clock.move(seconds=60)
        assert deliver(clock) == 1
        wait = Delivery.objects.get().not_before - clock()
        assert timedelta(seconds=seconds * 0.8) < wait < timedelta(seconds=seconds * 1.2)

    assert Delivery.objects.get().attempts == tried + 2


def test_a_slow_endpoint_leaves_the_others_their_places() -> None:
    slow, quick = Receiver(), Receiver()
    try:
        endpoint_to(slow.url)
        endpoint_to(quick.url)
        slow.always(Answer(delay=0.3))
        for n in range(40):
            happened(n=n)

        deliver()

        assert states() == {"delivered": 80}
        assert slow.most_at_once == claims.PER_ENDPOINT
        assert quick.most_at_once <= claims.PER_ENDPOINT
        assert all(received.verified for received in (*slow.received, *quick.received))
    finally:
        slow.close()
        quick.close()


def test_a_new_secret_signs_beside_the_old_one_for_a_while(receiver: Receiver) -> None:
    clock = new_clock()
    endpoint_to(
        receiver.url,
        old_secret_encrypted=encrypt(SECRET),
        old_secret_until=clock.now + timedelta(hours=24),
    )
    Endpoint.objects.update(secret_encrypted=encrypt("whsec_bmV3"))
    happened()
    deliver(clock)
    receiver.secret = "whsec_bmV3"
    happened()
    deliver(clock)
    receiver.secret = SECRET
    clock.move(hours=25)
    happened()
    deliver(clock)

    assert [received.verified for received in receiver.received] == [True, True, False]


def test_a_secret_that_cannot_be_read_is_a_failure_that_says_so(receiver: Receiver) -> None:
    endpoint_to(receiver.url)
    Endpoint.objects.update(secret_encrypted=b"of another key")
    happened()

    deliver()

    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts) == ("pending", 1)
    assert "SECRET_KEY" in delivery.last_error
    assert receiver.received == []


def test_what_a_dead_worker_held_is_sent_again_with_the_same_id(receiver: Receiver) -> None:
    endpoint_to(receiver.url)
    happened()
    token = uuid.uuid4()
    now = timezone.now()
    Delivery.objects.update(lease_token=token, lease_until=now + timedelta(seconds=30))
    assert deliver() == 0

    Delivery.objects.update(lease_until=now - timedelta(seconds=1))
    assert deliver() == 1

    assert states() == {"delivered": 1}
    assert receiver.ids == [Delivery.objects.get().event.public_id]


@pytest.mark.parametrize(("error", "state"), [("", "delivered"), ("No.", "pending")])
def test_an_answer_that_cannot_be_stored_spoils_no_other(error: str, state: str) -> None:
    endpoint_to("https://example.com/hook")
    for n in range(2):
        happened(n=n)
    jobs = claims.claim(busy={}, limit=10, now=timezone.now())
    bad = Reply(status=200, error=error, response="\0 and \ud800")
    replies = [bad, Reply(status=204)]

    record.record(
        [record.DeliveryOutcome(j, r, timezone.now()) for j, r in zip(jobs, replies, strict=True)]
    )

    one, two = Delivery.objects.order_by("pk")
    assert (one.state, one.response, one.last_status) == (state, "", 200)
    assert (two.state, two.last_status) == ("delivered", 204)


def test_tries_are_kept_and_the_oldest_go(receiver: Receiver) -> None:
    endpoint_to(receiver.url)
    happened()
    receiver.always(Answer(500))
    clock = new_clock()
    deliver(clock)
    clock.move(seconds=6)
    deliver(clock)
    Delivery.objects.update(tries=[{"ms": n} for n in range(20)])
    clock.move(hours=1)
    deliver(clock)

    delivery = Delivery.objects.get()
    assert delivery.attempts == 3
    assert len(delivery.tries) == 20
    assert delivery.tries[0] == {"ms": 1}
    assert delivery.tries[-1]["status"] == 500
    assert (
        json.loads(json.dumps(delivery.tries[-1]))["error"]
        == "The endpoint returned 500 Internal Server Error."
    )

"""Endpoints made, changed, switched off and on; and what is sent again."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry
from apps.core.addresses import PrivateAddress
from apps.core.cipher import decrypt
from apps.core.signed_requests import Reply
from apps.webhooks import outbox, record, services
from apps.webhooks.claims import claim
from apps.webhooks.models import Delivery, DeliveryState, DisabledCause, Endpoint, Event, EventType
from apps.webhooks.outbox import NewEvent
from apps.webhooks.retention import KEPT, forget_old
from apps.webhooks.services import InvalidEndpoint, UnableToSend
from tests.factories import make_agent, make_conversation
from tests.fakes.receiver import Answer, Receiver

from .deliveries import deliver, endpoint_to, happened, new_clock, numbers, states

pytestmark = pytest.mark.django_db

BY = Actor.system("tests")
URL = "https://example.com/hook"
ENDED = EventType.CONVERSATION_ENDED


def create(url: str = URL, events: Sequence[str] = (ENDED,)) -> tuple[Endpoint, str]:
    return services.create_endpoint(url=url, events=events, agent=None, by=BY)


def verbs() -> list[str]:
    return list(AuditEntry.objects.order_by("pk").values_list("verb", flat=True))


def test_an_endpoint_is_made_with_a_secret_that_is_stored_as_ciphertext() -> None:
    endpoint, secret = create(events=[ENDED, "backfill.completed", ENDED])

    stored = Endpoint.objects.get()
    assert secret.startswith("whsec_")
    assert secret.encode() not in bytes(stored.secret_encrypted)
    assert decrypt(stored.secret_encrypted) == secret
    assert endpoint.events == ["conversation.ended", "backfill.completed"]
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.target) == ("webhook.created", endpoint.public_id)
    assert entry.detail["host"] == "example.com"
    assert secret not in json.dumps(entry.detail)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("example.com", "must start with https"),
        ("ftp://example.com/", "must start with https"),
        ("https://", "must start with https"),
        ("https:///path", "must start with https"),
        ("", "must start with https"),
        ("https://exa mple.com/", "must start with https"),
        ("https://example.com/\nx", "must start with https"),
        ("https://[::1/", "isn’t a URL"),
        ("https://example.com:99999/", "isn’t a URL"),
        ("https://ada:secret@example.com/", "username and password"),
        ("https://example.com/#part", "fragment"),
        ("https://example.com/" + "x" * 2000, "maximum 2,000"),
    ],
)
def test_urls_refused(url: str, sentence: str) -> None:
    with pytest.raises(InvalidEndpoint, match=sentence) as refused:
        create(url)
    assert set(refused.value.fields) == {"url"}
    assert not Endpoint.objects.exists()


def test_a_private_address_is_refused_when_it_is_saved(settings: Any) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = False
    with pytest.raises(PrivateAddress, match=r"127\.0\.0\.1"):
        create("http://127.0.0.1:9000/hook")
    endpoint, _ = create("https://8.8.8.8/hook")
    with pytest.raises(PrivateAddress):
        services.change_endpoint(
            endpoint=endpoint, url="http://localhost/", events=[ENDED], agent=None, by=BY
        )


@pytest.mark.parametrize("events", [[], ["lunch.served"], [ENDED, "lunch.served"]])
def test_events_refused(events: list[str]) -> None:
    with pytest.raises(InvalidEndpoint) as refused:
        create(events=events)
    assert set(refused.value.fields) == {"events"}


def test_what_waits_goes_to_the_new_address(receiver: Receiver) -> None:
    endpoint = endpoint_to("http://127.0.0.1:1/old")
    happened(n=1)
    agent = make_agent()

    services.change_endpoint(
        endpoint=endpoint, url=receiver.url, events=[ENDED], agent=agent, by=BY
    )
    services.change_endpoint(
        endpoint=endpoint, url=receiver.url, events=[ENDED], agent=agent, by=BY
    )
    deliver()

    assert numbers(receiver.received) == [1]
    assert verbs() == ["webhook.changed"]


def test_a_new_secret_leaves_the_old_one_a_day() -> None:
    endpoint, first = create()
    second = services.rotate_secret(endpoint=endpoint, by=BY)

    stored = Endpoint.objects.get()
    assert stored.old_secret_encrypted is not None
    assert stored.old_secret_until is not None
    assert (decrypt(stored.secret_encrypted), decrypt(stored.old_secret_encrypted)) == (
        second,
        first,
    )
    assert stored.old_secret_until - timezone.now() > timedelta(hours=23)


def test_switched_off_it_drops_what_waits_and_hears_of_nothing(receiver: Receiver) -> None:
    endpoint = endpoint_to(receiver.url)
    happened(n=1)

    assert services.disable_endpoint(endpoint=endpoint, by=BY) == 1
    assert services.disable_endpoint(endpoint=endpoint, by=BY) == 0
    happened(n=2)

    assert states() == {"dropped": 1}
    assert deliver() == 0
    assert not outbox.has_subscribers(ENDED)
    assert services.enable_endpoint(endpoint=endpoint, by=BY) == 0
    happened(n=3)
    deliver()
    assert numbers(receiver.received) == [3]
    assert verbs() == ["webhook.disabled", "webhook.enabled"]


def test_enabled_again_it_is_sent_what_it_missed_in_order(receiver: Receiver) -> None:
    endpoint = endpoint_to(receiver.url)
    conversation = make_conversation(make_agent())
    receiver.always(Answer(410))
    for n in range(3):
        happened(conversation, n=n)
    deliver()
    happened(conversation, n=3)
    endpoint.refresh_from_db()
    assert services.missed(endpoint).count() == 4
    receiver.always(Answer())
    receiver.received.clear()

    assert services.enable_endpoint(endpoint=endpoint, by=BY, send_missed=True) == 4
    assert services.enable_endpoint(endpoint=endpoint, by=BY, send_missed=True) == 0
    happened(conversation, n=4)
    deliver()

    endpoint.refresh_from_db()
    assert (endpoint.is_enabled, endpoint.consecutive_failures) == (True, 0)
    assert numbers(receiver.received) == [0, 1, 2, 3, 4]


def test_after_a_month_nothing_more_is_noted_for_one_that_was_given_up() -> None:
    endpoint = endpoint_to(URL)
    record.give_up(endpoint, DisabledCause.GONE, at=timezone.now() - timedelta(days=31))
    happened(n=1)
    assert not Event.objects.exists()


def test_deleted_while_deliveries_pend(receiver: Receiver) -> None:
    endpoint = endpoint_to(receiver.url)
    other = endpoint_to(receiver.url)
    happened(n=1)

    services.delete_endpoint(endpoint=endpoint, by=BY)
    services.delete_endpoint(endpoint=endpoint, by=BY)
    deliver()

    assert list(Delivery.objects.values_list("endpoint", "state")) == [(other.pk, "delivered")]
    assert verbs() == ["webhook.deleted"]


def test_deleted_while_one_is_on_its_way(receiver: Receiver) -> None:
    endpoint = endpoint_to(receiver.url)
    happened(n=1)
    (job,) = claim(busy={}, limit=100, now=timezone.now())

    services.delete_endpoint(endpoint=endpoint, by=BY)
    record.record([record.DeliveryOutcome(job, Reply(status=200), timezone.now())])

    assert not Delivery.objects.exists()


@pytest.mark.parametrize("answer", [Answer(204), Answer(500)])
def test_a_test_goes_the_real_way_once(receiver: Receiver, answer: Answer) -> None:
    endpoint = endpoint_to(receiver.url)
    receiver.always(answer)

    sent = services.send_test(endpoint=endpoint, types=[], by=BY)
    deliver()

    assert len(sent) == len(EventType.values)
    assert [r.payload["event"] for r in receiver.received] == EventType.values
    assert all(r.payload["test"] is True and r.verified for r in receiver.received)
    assert states() == {"delivered" if answer.status == 204 else "failed": len(sent)}
    endpoint.refresh_from_db()
    assert (endpoint.consecutive_failures, endpoint.failing_since) == (0, None)


def test_a_test_of_what_it_does_not_want_or_while_it_is_off() -> None:
    endpoint, _ = create()
    with pytest.raises(InvalidEndpoint, match="isn’t subscribed to"):
        services.send_test(endpoint=endpoint, types=["backfill.completed"], by=BY)
    services.disable_endpoint(endpoint=endpoint, by=BY)
    with pytest.raises(UnableToSend, match="disabled"):
        services.send_test(endpoint=endpoint, types=[ENDED], by=BY)


def test_one_that_waits_for_its_next_try_is_sent_again_at_once(receiver: Receiver) -> None:
    endpoint_to(receiver.url)
    happened(n=1)
    receiver.always(Answer(500))
    deliver()
    receiver.always(Answer())
    delivery = Delivery.objects.select_related("endpoint", "event").get()
    assert delivery.not_before > timezone.now()

    Endpoint.objects.update(rest_until=timezone.now() + timedelta(minutes=1))
    with pytest.raises(UnableToSend, match="already"):
        services.send_again(delivery=delivery, by=BY)
    Endpoint.objects.update(rest_until=None)
    services.send_again(delivery=delivery, by=BY)
    deliver()

    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("delivered", 2)


def test_one_is_sent_again_with_the_same_id(receiver: Receiver) -> None:
    endpoint_to(receiver.url)
    happened(n=1)
    deliver()
    delivery = Delivery.objects.select_related("endpoint", "event").get()

    services.send_again(delivery=delivery, by=BY)
    with pytest.raises(UnableToSend, match="already"):
        services.send_again(delivery=delivery, by=BY)
    deliver()

    assert receiver.ids == [delivery.event.public_id] * 2
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("delivered", 2)


def test_all_that_failed_lately_is_sent_again(receiver: Receiver) -> None:
    endpoint = endpoint_to(receiver.url)
    clock = new_clock()
    for n in range(4):
        happened(n=n)
    Delivery.objects.update(state=DeliveryState.FAILED, finished_at=clock.now)
    old = Delivery.objects.earliest("pk")
    Delivery.objects.filter(pk=old.pk).update(created_at=clock.now - timedelta(days=3))
    services.send_test(endpoint=endpoint, types=[ENDED], by=BY)
    Delivery.objects.filter(event__is_test=True).update(state="failed", finished_at=clock.now)
    day_ago = clock.now - timedelta(days=1)

    assert services.send_failed_again(endpoint=endpoint, since=day_ago, by=BY) == 3
    with pytest.raises(UnableToSend, match="No failed deliveries"):
        services.send_failed_again(endpoint=endpoint, since=day_ago, by=BY)
    deliver(clock)

    assert sorted(numbers(receiver.received)) == [1, 2, 3]


def test_nothing_is_sent_again_to_one_that_is_off() -> None:
    endpoint = endpoint_to(URL)
    happened(n=1)
    services.disable_endpoint(endpoint=endpoint, by=BY)
    delivery = Delivery.objects.select_related("endpoint").get()
    for send in (
        lambda: services.send_again(delivery=delivery, by=BY),
        lambda: services.send_failed_again(endpoint=endpoint, since=timezone.now(), by=BY),
    ):
        with pytest.raises(UnableToSend, match="Enable it"):
            send()


def test_what_was_written_while_it_was_being_disabled_is_dropped_by_the_sweep() -> None:
    endpoint = endpoint_to(URL)
    happened(n=1)
    Endpoint.objects.update(disabled_at=timezone.now(), disabled_reason="Just now.")

    assert record.drop_leftovers(timezone.now()) == 1
    assert record.drop_leftovers(timezone.now()) == 0
    assert endpoint.deliveries.get().state == DeliveryState.DROPPED


def test_what_was_settled_a_month_ago_is_forgotten() -> None:
    endpoint_to(URL)
    for n in range(3):
        happened(n=n)
    long_ago = timezone.now() - KEPT - timedelta(days=1)
    old, waiting, recent = Delivery.objects.order_by("pk")
    Event.objects.update(created_at=long_ago)
    Delivery.objects.update(created_at=long_ago)
    Delivery.objects.filter(pk=old.pk).update(state="delivered", finished_at=long_ago)
    Delivery.objects.filter(pk=recent.pk).update(state="failed", finished_at=timezone.now())

    assert forget_old(timezone.now()) == 2
    assert set(Delivery.objects.all()) == {waiting, recent}
    assert Event.objects.count() == 2


def test_an_event_that_nobody_wants_leaves_nothing(django_assert_num_queries: Any) -> None:
    endpoint_to(URL, EventType.BACKFILL_COMPLETED)
    with django_assert_num_queries(1):
        assert outbox.write([NewEvent(ENDED, {"event": "x"})]) == 0
    with django_assert_num_queries(0):
        assert outbox.write([]) == 0
    assert not Event.objects.exists()

"""Webhooks while workers die and the endpoint is away: every event, in order, none lost."""

import random
import time

import pytest
from django.db import transaction

from apps.conversations.models import Conversation
from apps.webhooks.claims import PER_ENDPOINT
from tests.factories import make_agent, make_conversations
from tests.fakes.receiver import Answer, Received, Receiver
from tests.webhooks.deliveries import endpoint_to, happened

from .deliveries import all_settled, beat_webhooks, delivered_ids
from .harness import Workers, wait_until

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _slow_receiver(receiver: Receiver) -> None:
    """Something is always on its way."""
    receiver.always(Answer(delay=0.03))


def write_events(conversations: list[Conversation], each: int) -> None:
    """Events numbered by conversation, from one writer after the other."""
    for n in range(each):
        for conversation in conversations:
            with transaction.atomic():
                happened(conversation, c=conversation.pk, n=n)


def assert_all_told(receiver: Receiver, conversations: list[Conversation], each: int) -> None:
    """Every event came, verified, with the id of its row; of each conversation in order."""
    assert len(delivered_ids(receiver)) == len(conversations) * each
    for conversation in conversations:
        came = [one.payload["n"] for one in receiver.taken if one.payload["c"] == conversation.pk]
        assert came == sorted(came), "in order, one sent again before those that follow it"
        assert set(came) == set(range(each))


def kill_at_random(
    receiver: Receiver, workers: Workers, *, events: int, kills: int, seed: int, timeout: float
) -> None:
    chance = random.Random(seed)
    each = 10
    conversations = make_conversations(make_agent(), events // each)
    endpoint_to(receiver.url)
    write_events(conversations, each)  # before: workers could be done when the last one is written
    workers.start()
    workers.start()
    moments = sorted(chance.sample(range(events // 20, events * 8 // 10), kills))

    def kill_now_and_then() -> None:
        if moments and len({one.id for one in receiver.taken}) >= moments[0]:
            moments.pop(0)
            workers.kill_one(chance)

    wait_until(
        all_settled, timeout=timeout, every=0.02, between=kill_now_and_then, drum=beat_webhooks
    )

    assert not moments
    assert_all_told(receiver, conversations, each)
    assert len(receiver.twice) <= kills * PER_ENDPOINT, "only what was on its way is sent again"


def test_two_workers_killed_at_random_lose_nothing(receiver: Receiver, workers: Workers) -> None:
    kill_at_random(receiver, workers, events=300, kills=2, seed=11, timeout=90)


@pytest.mark.slow
def test_twenty_workers_killed_at_random_lose_nothing(receiver: Receiver, workers: Workers) -> None:
    kill_at_random(receiver, workers, events=4_000, kills=20, seed=12, timeout=600)


@pytest.mark.slow
def test_an_endpoint_that_comes_and_goes_while_workers_die(
    receiver: Receiver, workers: Workers
) -> None:
    """Down for some seconds, up for some, in all ways of being down."""
    chance = random.Random(13)
    began = time.monotonic()
    faults = [Answer(drop=True), Answer(500), Answer(500, delay=5), Answer(429), Answer(302)]

    def decide(received: Received) -> Answer:
        up = int(time.monotonic() - began) % 12 < 6
        return Answer(delay=0.01) if up else chance.choice(faults)

    receiver.decide = decide
    kill_at_random(receiver, workers, events=600, kills=5, seed=14, timeout=300)

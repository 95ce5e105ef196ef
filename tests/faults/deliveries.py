"""What tests of webhooks with real workers share."""

from collections import Counter

from apps.analysis.models import Analysis
from apps.core.tasks import send
from apps.webhooks.models import Delivery, DeliveryState
from tests.fakes.receiver import Receiver

from .harness import sweep


def beat_webhooks() -> None:
    """Beat the drum for deliveries."""
    send("webhooks.sweep", queue="maintenance", kwargs={})


def beat_all() -> None:
    """Beat the drum for runs and for deliveries."""
    sweep()
    beat_webhooks()


def all_settled() -> bool:
    """every delivery is settled"""
    return not Delivery.objects.filter(state=DeliveryState.PENDING).exists()


def delivered_ids(receiver: Receiver) -> set[str]:
    """Return the IDs of all events; each was delivered, signed."""
    assert all(one.verified for one in receiver.received)
    rows = dict(Delivery.objects.values_list("event__public_id", "state"))
    assert set(rows.values()) == {DeliveryState.DELIVERED}
    assert {one.id for one in receiver.taken} == set(rows)
    return set(rows)


def assert_every_result_sent(receiver: Receiver, items: int) -> None:
    """Each result of the only run, and its end, have one event, which was delivered."""
    ids = delivered_ids(receiver)
    bodies = {one.id: one.payload for one in receiver.taken}
    assert len(ids) == items + 1
    kinds = Counter(body["event"] for body in bodies.values())
    assert kinds == {"conversation.analyzed": items, "backfill.completed": 1}
    told = {body["analysis_id"] for body in bodies.values() if "analysis_id" in body}
    assert told == set(Analysis.objects.current().values_list("public_id", flat=True))

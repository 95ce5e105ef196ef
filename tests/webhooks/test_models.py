"""What the database itself holds of endpoints, the outbox and deliveries."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, connection, models, transaction
from django.db.models import ProtectedError
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Role, User
from apps.core.guarded_client import KEPT_CHARACTERS
from apps.webhooks.models import (
    Delivery,
    DeliveryState,
    Endpoint,
    Event,
    EventType,
)
from tests.factories import (
    make_agent,
    make_conversation,
    make_delivery,
    make_endpoint,
    make_event,
)

pytestmark = pytest.mark.django_db

NOW = timezone.now()


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"url": "ftp://example.com"}, "endpoint_url_http"),
        ({"url": "https://"}, "endpoint_url_http"),
        ({"url": "https:///path"}, "endpoint_url_http"),
        ({"url": " https://example.com"}, "endpoint_url_http"),
        ({"secret_encrypted": b""}, "endpoint_secret_given"),
        ({"events": []}, "endpoint_events_known"),
        ({"events": ["conversation.analyzed", "lunch.served"]}, "endpoint_events_known"),
        ({"disabled_at": NOW}, "endpoint_disabled_with_reason"),
        ({"disabled_reason": "It answered 410."}, "endpoint_disabled_with_reason"),
    ],
)
def test_endpoints_refused(values: dict[str, Any], constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        make_endpoint(**values)


def test_endpoints_taken() -> None:
    whole = make_endpoint(url="http://localhost:9000", events=EventType.values)
    disabled = make_endpoint(disabled_at=NOW, disabled_reason="It answered 410 for a day.")

    assert whole.public_id.startswith("wh_")
    assert whole.is_enabled
    assert not disabled.is_enabled


def test_a_form_refuses_what_is_no_web_address() -> None:
    with pytest.raises(ValidationError, match="valid URL"):
        Endpoint(url="ftp://example.com").clean_fields(exclude=["secret_encrypted", "events"])


def test_an_endpoint_of_one_agent_never_becomes_one_of_all() -> None:
    agent = make_agent()
    make_endpoint(agent=agent)

    with pytest.raises(ProtectedError):
        agent.delete()


def test_an_event_has_a_known_type_and_an_id_of_its_own() -> None:
    event = make_event()

    assert event.public_id.startswith("msg_")
    with pytest.raises(IntegrityError, match="event_type_known"), transaction.atomic():
        make_event(type="lunch.served")
    with pytest.raises(IntegrityError, match="event_public_id_once"), transaction.atomic():
        make_event(public_id=event.public_id)


def test_erasing_a_conversation_takes_events_and_deliveries_along() -> None:
    conversation = make_conversation(make_agent())
    make_delivery(event=make_event(conversation=conversation))
    other = make_delivery()

    conversation.delete()

    assert [*Delivery.objects.all()] == [other]
    assert [*Event.objects.all()] == [other.event]


def test_an_event_goes_once_to_an_endpoint() -> None:
    first = make_delivery()

    make_delivery(event=first.event)
    with pytest.raises(IntegrityError, match="delivery_event_once"), transaction.atomic():
        make_delivery(event=first.event, endpoint=first.endpoint)


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"state": "lost", "finished_at": NOW}, "delivery_state_known"),
        ({"lease_token": uuid.uuid4()}, "delivery_lease_whole_and_open"),
        ({"lease_until": NOW}, "delivery_lease_whole_and_open"),
        (
            {
                "state": "delivered",
                "finished_at": NOW,
                "lease_token": uuid.uuid4(),
                "lease_until": NOW,
            },
            "delivery_lease_whole_and_open",
        ),
        ({"finished_at": NOW}, "delivery_final_has_end"),
        ({"state": "delivered"}, "delivery_final_has_end"),
        ({"state": "failed"}, "delivery_final_has_end"),
        ({"state": "dropped"}, "delivery_final_has_end"),
    ],
)
def test_deliveries_refused(values: dict[str, Any], constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        make_delivery(**values)


@pytest.mark.parametrize("state", DeliveryState)
def test_deliveries_taken(state: DeliveryState) -> None:
    if state == DeliveryState.PENDING:
        make_delivery(lease_token=uuid.uuid4(), lease_until=NOW)
        make_delivery(not_before=NOW, attempts=3)
    else:
        make_delivery(state=state, finished_at=NOW, last_status=200)


@pytest.mark.parametrize("column", ["request", "response"])
def test_what_is_kept_of_a_try_is_cut(column: str) -> None:
    make_delivery(**{column: "x" * KEPT_CHARACTERS})
    with pytest.raises(DataError, match=str(KEPT_CHARACTERS)), transaction.atomic():
        make_delivery(**{column: "x" * (KEPT_CHARACTERS + 1)})


@pytest.mark.parametrize(
    ("ask", "index"),
    [
        (
            lambda endpoint, _: Delivery.objects.filter(
                state="pending", endpoint=endpoint, not_before__lte=NOW
            ).order_by("not_before", "id"),
            "delivery_due",
        ),
        (
            lambda endpoint, conversation: Delivery.objects.filter(
                state="pending", endpoint=endpoint, conversation_key=conversation
            ).order_by("id"),
            "delivery_order",
        ),
        (
            lambda endpoint, _: Delivery.objects.filter(endpoint=endpoint).order_by("-id"),
            "delivery_endpoint_recent",
        ),
        (
            lambda _, conversation: Event.objects.filter(conversation=conversation).order_by("id"),
            "event_conversation_order",
        ),
    ],
)
def test_an_index_serves_what_will_be_asked_all_the_time(
    ask: Callable[[Endpoint, int], models.QuerySet[Any]], index: str
) -> None:
    # Over an empty table every plan costs the same, and any index may be taken.
    endpoint, other = make_endpoint(), make_endpoint()
    conversation = make_conversation(make_agent()).pk
    events = Event.objects.bulk_create(
        Event(
            type=EventType.CONVERSATION_ENDED,
            payload="{}",
            conversation_id=conversation if number % 100 == 0 else None,
        )
        for number in range(1000)
    )
    Delivery.objects.bulk_create(
        Delivery(
            event=event,
            endpoint=endpoint if number % 5 == 0 else other,
            conversation_key=conversation if number % 100 == 0 else -number,
            not_before=NOW + timedelta(minutes=number - 50),
        )
        for number, event in enumerate(events)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE webhooks_delivery, webhooks_event")
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
    assert index in ask(endpoint, conversation).explain()


def test_django_admin_shows_no_secret(client: Client) -> None:
    client.force_login(User.objects.create_user("root", role=Role.ADMIN))

    page = client.get(f"/admin/webhooks/endpoint/{make_endpoint().pk}/change/").text

    assert "https://example.com/hook" in page
    assert "secret" not in page.lower()

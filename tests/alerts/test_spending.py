"""Spending caps are announced at 80% and where they are reached: once each, on pages too."""

import json
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.core import mail
from django.db import transaction
from django.test import Client
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.accounts.models import Role, User
from apps.alerts import spending
from apps.alerts.models import CapNotice, Message
from apps.alerts.retention import CAP_NOTICES_KEPT, forget_old
from apps.llm.caps import Caps, change_caps, set_caps
from apps.webhooks.models import Event
from tests import factories
from tests.factories import make_agent, make_endpoint
from tests.locks import Writer
from tests.webhooks.deliveries import new_clock

from .alerting import send

pytestmark = pytest.mark.django_db

BY = Actor.system("tests")
NOON = datetime(2025, 1, 18, 12, tzinfo=timezone.get_current_timezone())
SITE = "https://debrief.example.com/"


spend = partial(factories.spend, at=NOON)


def cap(day: str, agent: str = "") -> None:
    change_caps(agent, Caps(Decimal(day)), by=BY, site_url=SITE)


def admin(name: str, **more: Any) -> User:
    user: User = User.objects.create_user(name, email=f"{name}@example.com", **more)
    return user


def sent() -> list[dict[str, Any]]:
    return [json.loads(event.payload) for event in Event.objects.order_by("pk")]


def test_a_cap_is_announced_at_80_percent_and_where_it_is_reached() -> None:
    make_endpoint(events=["budget.warning", "budget.reached"])
    cap("1")
    spend("0.79")
    assert spending.check_caps(NOON) == 0
    spend("0.01")
    assert [spending.check_caps(NOON), spending.check_caps(NOON)] == [1, 0]
    spend("0.30")
    assert [spending.check_caps(NOON), spending.check_caps(NOON)] == [1, 0]

    assert [event["event"] for event in sent()] == ["budget.warning", "budget.reached"]
    assert sent()[1]["budget"] == {
        "period": "day",
        "limit": "1.0000",
        "spent": "1.100000000",
        "level": 100,
        "resets_at": "2025-01-19T00:00:00Z",
    }
    assert sent()[1]["url"] == "https://debrief.example.com/costs/budgets/"


def test_a_cap_that_is_passed_in_one_step_has_no_warning() -> None:
    make_endpoint(events=["budget.warning", "budget.reached"])
    cap("1")
    spend("5")
    spending.check_caps(NOON)
    assert [event["event"] for event in sent()] == ["budget.reached"]


def test_a_raised_cap_and_the_next_day_start_anew() -> None:
    cap("1")
    spend("0.9")
    spending.check_caps(NOON)
    cap("2")
    assert spending.check_caps(NOON) == 0
    spend("0.9")
    assert spending.check_caps(NOON) == 1
    tomorrow = NOON + timedelta(days=1)
    assert spending.check_caps(tomorrow) == 0
    spend("2", at=tomorrow)
    assert spending.check_caps(tomorrow) == 1
    levels = [(int(n.limit), n.level) for n in CapNotice.objects.order_by("pk")]
    assert levels == [(1, 80), (2, 80), (2, 100)]


def test_a_cap_of_an_agent_goes_to_its_endpoints() -> None:
    one, other = make_agent(name="Billing line"), make_agent()
    make_endpoint(agent=one, events=["budget.reached"])
    make_endpoint(agent=other, events=["budget.reached"])
    spend("1", agent=one.public_id)
    cap("1", agent=one.public_id)
    assert spending.check_caps(NOON) == 1
    event = Event.objects.get()
    assert event.deliveries.count() == 1
    assert sent()[0]["agent_id"] == one.public_id


def test_admins_are_mailed_once() -> None:
    admin("ada", role=Role.ADMIN)
    admin("root", is_superuser=True)
    admin("eve", role=Role.EDITOR)
    admin("gone", role=Role.ADMIN, is_active=False)
    User.objects.create_user("silent", role=Role.ADMIN)
    clock = new_clock()
    cap("1234567")
    spend("1234568.89", at=clock())
    spending.check_caps(clock())
    spending.check_caps(clock())

    assert send(clock) == 2
    assert sorted(m.to[0] for m in mail.outbox) == ["ada@example.com", "root@example.com"]
    assert mail.outbox[0].subject == "[Debrief] The daily cap is reached"
    assert "$1,234,568.89 of $1,234,567.00 is spent." in mail.outbox[0].body
    assert "https://debrief.example.com/costs/budgets/" in mail.outbox[0].body
    assert CapNotice.objects.get().mails == 2


def test_nothing_is_announced_without_its_event_and_mails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    admin("ada", role=Role.ADMIN)
    make_endpoint(events=["budget.reached"])
    cap("1")
    spend("1")

    def die(*args: object, **kwargs: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(spending, "_mails", die)
        with pytest.raises(SystemExit):
            spending.check_caps(NOON)
    assert not CapNotice.objects.exists()
    assert not Event.objects.exists()

    assert spending.check_caps(NOON) == 1
    assert (Event.objects.count(), Message.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_two_schedulers_announce_once() -> None:
    make_endpoint(events=["budget.reached"])
    cap("1")
    spend("1")
    found: list[int] = []
    with transaction.atomic():
        assert spending.check_caps(NOON) == 1
        other = Writer(lambda: found.append(spending.check_caps(NOON)))
        other.wait_blocked()
    other.join()
    assert (found, Event.objects.count()) == ([0], 1)


def test_the_notice_is_on_every_page_and_asks_the_database_nothing(
    client: Client, django_assert_num_queries: Any
) -> None:
    client.force_login(admin("viewer"))
    now = timezone.now()
    client.get("/calls/")
    with django_assert_num_queries(2):
        assert "spending-banner" in client.get("/profile/").content.decode()
    set_caps({"": Caps(Decimal(1))}, by=BY)
    spend("0.85", at=now)
    spending.check_caps(now)

    with django_assert_num_queries(2):
        page = client.get("/profile/").content.decode()
    assert "85% of the" in page
    assert "$0.85 of $1.00" in page
    assert 'href="/costs/budgets/"' in page

    set_caps({}, by=BY)
    spending.check_caps(now)
    assert "$0.85 of $1.00" not in client.get("/profile/").content.decode()


def test_a_notice_of_yesterday_is_not_shown() -> None:
    yesterday = timezone.now() - timedelta(days=1)
    cap("1")
    spend("1", at=yesterday)
    spending.check_caps(yesterday)
    assert spending.notice() is None


def test_old_notices_are_deleted_after_their_period() -> None:
    cap("1")
    spend("1")
    spending.check_caps(NOON)
    assert forget_old(NOON + timedelta(days=35)) == 0
    assert forget_old(NOON + CAP_NOTICES_KEPT + timedelta(days=1)) == 1

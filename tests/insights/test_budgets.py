"""The page of spending caps: what is spent, reserved, and left, and changing caps."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry, Role, User
from apps.agents.models import Agent
from apps.analysis.models import Analysis, State
from apps.analysis.spending_caps import budgets
from apps.conversations.models import Trigger
from apps.llm.caps import Caps, change_caps, current_caps, set_caps
from tests.factories import make_agent, make_conversation, make_model, spend

pytestmark = pytest.mark.django_db

BY = Actor.system("tests")
HTMX = {"HX-Request": "true"}
NOON = datetime(2025, 1, 18, 12, tzinfo=timezone.get_current_timezone())
PAGE = "/costs/budgets/"


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_user("ada", role=Role.ADMIN))
    return client


def cap(agent: str = "", **limits: str) -> None:
    change_caps(agent, Caps(**{k: Decimal(v) for k, v in limits.items()}), by=BY)


def reserve(agent: Agent, amount: str) -> None:
    version = agent.versions.get()
    Analysis.objects.create(
        conversation=make_conversation(agent),
        agent_version=version,
        config=version.config,
        trigger=Trigger.INITIAL,
        state=State.PENDING,
        reserved=Decimal(amount),
    )


def text(client: Client, path: str = PAGE) -> str:
    html = client.get(path).content.decode()
    return " ".join(" ".join(part.partition(">")[2] for part in html.split("<")).split())


class TestBudgets:
    def test_spent_reserved_and_left(self) -> None:
        agent = make_agent()
        cap(day="1", month="10")
        cap(agent.public_id, day="0.5")
        spend("0.3", at=NOON)
        spend("0.2", agent=agent.public_id, at=NOON)
        spend("2", at=NOON - timedelta(days=17))
        spend("9", at=NOON - timedelta(days=18))
        reserve(agent, "0.4")

        installation, mine = budgets(NOON)

        assert [g.spent for g in installation.gauges] == [Decimal("0.5"), Decimal("2.5")]
        assert [g.left for g in installation.gauges] == [Decimal("0.1"), Decimal("7.1")]
        assert (mine.agent_id, mine.day.spent, mine.day.reserved) == (
            agent.public_id, Decimal("0.2"), Decimal("0.4"),
        )  # fmt: skip
        assert mine.day.left == 0  # not below
        assert (mine.month.spent, mine.month.cap, mine.month.left) == (Decimal("0.2"), None, None)

    def test_the_month_is_projected_from_the_last_7_full_days(self) -> None:
        cap(month="20")
        for days in range(1, 8):
            spend("1", at=NOON - timedelta(days=days))
        spend("0.5", at=NOON)

        (installation,) = budgets(NOON)

        # 7.50 until now, and 1.00 for each of the 14 days from today on.
        assert installation.projection is not None
        assert installation.projection.cost == Decimal("21.5")
        assert str(installation.projection.day) == "2025-01-30"

    def test_nothing_is_projected_without_a_past(self) -> None:
        spend("5", at=NOON)
        assert budgets(NOON)[0].projection is None

    @pytest.mark.parametrize(
        ("zone", "day", "resets"),
        [
            ("America/New_York", "2025-03-09", "2025-03-10T04:00:00"),  # 23 hours
            ("Europe/Berlin", "2025-10-26", "2025-10-26T23:00:00"),  # 25 hours
            ("America/Santiago", "2025-09-06", "2025-09-07T04:00:00"),  # its midnight is left out
        ],
    )
    def test_a_day_resets_with_the_clocks(self, zone: str, day: str, resets: str) -> None:
        cap(day="1")
        with timezone.override(zone):
            start = datetime.fromisoformat(day).replace(hour=12, tzinfo=ZoneInfo(zone))
            spend("0.3", at=start)
            today = budgets(start)[0].day
            utc = today.resets_at.astimezone(ZoneInfo("UTC"))
            assert (today.spent, utc.isoformat()[:19]) == (Decimal("0.3"), resets)
            assert budgets(today.resets_at - timedelta(seconds=1))[0].day.spent == Decimal("0.3")
            assert budgets(today.resets_at)[0].day.spent == 0


class TestPage:
    def test_it_shows_caps_with_their_numbers(self, admin: Client) -> None:
        agent = make_agent(name="Billing <b>line</b>")
        spend("0.0001", agent=agent.public_id)
        spend("1234567.89")
        cap(day="2000000")
        cap(agent.public_id, month="0.0001")
        shown = text(admin)
        assert "$1,234,567.89" in shown
        assert "$0.0001" in shown
        assert "Billing &lt;b&gt;line" in shown
        assert "Reached" in shown

    def test_without_caps_it_shows_the_spending_and_the_way_to_a_cap(self, admin: Client) -> None:
        spend("0.25")
        shown = text(admin)
        assert "No spending caps yet" in shown
        assert "Set caps" in shown
        assert "$0.25" in shown

    def test_a_viewer_sees_no_way_to_change_them(self, client: Client) -> None:
        client.force_login(User.objects.create_user("vi", role=Role.VIEWER))
        cap(make_agent().public_id, day="1")
        page = client.get(PAGE).content.decode()
        assert "/costs/budgets/edit/" not in page
        assert "Change" not in text(client)

    def test_it_takes_a_fixed_number_of_queries(
        self, admin: Client, django_assert_num_queries: Any
    ) -> None:
        for _ in range(3):
            cap(make_agent().public_id, day="1")
        admin.get(PAGE)
        with django_assert_num_queries(8):
            # session, person, caps, their sums, reservations, days, notices, agents
            admin.get(PAGE)

    def test_the_fragment_brings_the_notice_along(self, admin: Client) -> None:
        part = admin.get(PAGE, headers=HTMX).content.decode()
        assert "<html" not in part
        assert 'id="budgets"' in part
        assert 'hx-swap-oob="true"' in part


class TestChange:
    def test_caps_are_set_and_removed_with_an_audit_entry(self, admin: Client) -> None:
        make_agent()
        form = {"day": "$50", "month": "1,000.50"}
        answer = admin.post(f"{PAGE}edit/", form, headers=HTMX)
        assert answer.status_code == 204
        assert "budgets:changed" in answer["HX-Trigger"]
        assert current_caps() == {"": Caps(Decimal(50), Decimal("1000.5"))}
        shown = admin.get(f"{PAGE}edit/").content.decode()
        assert 'value="50.00"' in shown
        assert 'value="1000.50"' in shown

        seen = {"seen_day": "50.00", "seen_month": "1000.50"}
        assert admin.post(f"{PAGE}edit/", seen, headers=HTMX).status_code == 204
        assert current_caps() == {}
        entries = AuditEntry.objects.filter(verb="caps.changed").order_by("pk")
        assert [e.detail["to"] for e in entries] == [
            {"": {"day": "50", "month": "1000.50"}},
            {},
        ]

    def test_a_cap_that_is_reached_at_once_is_confirmed(self, admin: Client) -> None:
        spend("12.40")
        form = {"day": "10"}
        answer = admin.post(f"{PAGE}edit/", form, headers=HTMX)
        page = answer.content.decode()
        assert answer.status_code == 200
        assert "$12.40 is spent" in " ".join(page.split())
        assert "Save and stop paid work" in page
        assert current_caps() == {}

        # Other caps than those that were shown are asked about again.
        other = {"day": "11", "confirmed": "10.00/"}
        assert admin.post(f"{PAGE}edit/", other, headers=HTMX).status_code == 200
        sent = {"day": "10", "confirmed": "10.00/"}
        assert admin.post(f"{PAGE}edit/", sent, headers=HTMX).status_code == 204
        assert current_caps() == {"": Caps(Decimal(10))}

    def test_an_agent_gets_a_cap_and_a_deactivated_one_loses_it(self, admin: Client) -> None:
        agent = make_agent(name="Billing line")
        form = {"agent": agent.public_id, "day": "5"}
        assert admin.post(f"{PAGE}new/", form, headers=HTMX).status_code == 204
        assert current_caps() == {agent.public_id: Caps(Decimal(5))}
        Agent.objects.filter(pk=agent.pk).update(deactivated_at=timezone.now())
        path = f"{PAGE}{agent.public_id}/edit/"
        assert admin.post(path, {"seen_day": "5.00"}, headers=HTMX).status_code == 204
        assert current_caps() == {}

    def test_a_new_cap_of_an_agent_that_has_one_shows_that(self, admin: Client) -> None:
        agent = make_agent()
        cap(agent.public_id, day="7")
        form = {"agent": agent.public_id, "day": "5"}
        page = admin.post(f"{PAGE}new/", form, headers=HTMX).content.decode()
        assert "changed in the meantime" in page
        assert current_caps() == {agent.public_id: Caps(Decimal(7))}

    def test_two_admins_do_not_overwrite_each_other(self, admin: Client) -> None:
        cap(day="20")
        form = {"day": "30", "seen_day": "10.00"}
        page = admin.post(f"{PAGE}edit/", form, headers=HTMX).content.decode()
        assert "changed in the meantime" in page
        assert 'value="20.00"' in page
        assert 'value="30"' in page
        assert current_caps() == {"": Caps(Decimal(20))}
        form["seen_day"] = "20.00"
        assert admin.post(f"{PAGE}edit/", form, headers=HTMX).status_code == 204

    def test_models_without_a_price_are_named_with_their_pages(self, admin: Client) -> None:
        model = make_model(name="mystery-1", input_price=None, output_price=None)
        agent = make_agent(model=model)
        for path, more in (("edit/", {}), ("new/", {"agent": agent.public_id})):
            page = admin.post(f"{PAGE}{path}", {"day": "5", **more}, headers=HTMX).content.decode()
            assert "mystery-1" in page
            assert f"/admin/llm/languagemodel/{model.pk}/change/" in page
        assert current_caps() == {}

    def test_an_agent_without_a_limit_is_refused(self, admin: Client) -> None:
        form = {"agent": make_agent().public_id}
        page = admin.post(f"{PAGE}new/", form, headers=HTMX).content.decode()
        assert "Set a daily or a monthly cap." in page

    def test_the_caps_of_others_stay(self, admin: Client) -> None:
        agent = make_agent()
        set_caps({"": Caps(Decimal(9)), agent.public_id: Caps(Decimal(1))}, by=BY)
        form = {"day": "2", "seen_day": "1.00"}
        admin.post(f"{PAGE}{agent.public_id}/edit/", form, headers=HTMX)
        assert current_caps() == {"": Caps(Decimal(9)), agent.public_id: Caps(Decimal(2))}

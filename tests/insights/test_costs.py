"""What requests cost: sums of the ledger that are true, and never zero for what is not known."""

import csv
import io
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client, override_settings
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisConnectionError

from apps.accounts.models import Role, User
from apps.insights import costs
from apps.insights.cost_sums import day_rows, sums_of
from apps.insights.costs import costs_of
from apps.insights.periods import BadPeriod, Period, last_days, read_period
from apps.llm import ledger
from apps.llm.models import Usage
from tests.factories import make_agent

pytestmark = pytest.mark.django_db

NOW = datetime(2025, 6, 30, 12, tzinfo=UTC)
TODAY = NOW.date()
Queries = Callable[[int], Any]
HTMX = {"HX-Request": "true"}


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(User.objects.create_user("vi", role=Role.VIEWER))
    return client


def paid(cost: str | None = "0.10", *, days: float = 1, **values: Any) -> Usage:
    defaults: dict[str, Any] = {
        "purpose": "analysis",
        "trigger": "initial",
        "model_name": "gpt-a",
        "agent_id": "agt_1",
        "conversation_id": "conv_1",
        "input_tokens": 1000,
        "cached_tokens": 400,
        "output_tokens": 100,
        "at": NOW - timedelta(days=days),
        "cost": None if cost is None else Decimal(cost),
    }
    return Usage.objects.create(**defaults | values)


def month() -> costs.Costs:
    return costs_of(last_days(30, TODAY), now=NOW)


def named(lines: Any) -> dict[str, Decimal]:
    return {line.label: line.sums.cost for line in lines}


def text(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


class TestSums:
    def test_by_agent_day_trigger_and_model(self) -> None:
        agent = make_agent(name="Billing line")
        paid("0.10", agent_id=agent.public_id)
        paid("0.20", agent_id=agent.public_id, trigger="rerun", days=2)
        paid("0.40", trigger="backfill", model_name="gpt-b")
        paid("0.80", purpose="try_it", trigger="", agent_id="")
        found = month()
        assert found.total.cost == Decimal("1.5")
        assert named(found.agents) == {
            "No agent": Decimal("0.8"),
            "agt_1": Decimal("0.4"),  # an agent that is not there any more
            "Billing line": Decimal("0.3"),
        }
        assert named(found.triggers) == {
            "Test run": Decimal("0.8"),
            "Backfill": Decimal("0.4"),
            "Rerun": Decimal("0.2"),
            "First analysis": Decimal("0.1"),
        }
        assert named(found.models) == {"gpt-a": Decimal("1.1"), "gpt-b": Decimal("0.4")}
        by_day = {line.day: line.sums.cost for line in found.days}
        assert len(by_day) == 30
        assert by_day[date(2025, 6, 29)] == Decimal("1.3")
        assert by_day[date(2025, 6, 28)] == Decimal("0.2")
        assert by_day[date(2025, 6, 1)] == 0
        assert found.highest == Decimal("1.3")

    def test_every_table_adds_up_to_the_total(self) -> None:
        for n in range(20):
            paid("0.01", days=n, agent_id=f"agt_{n % 3}", model_name=f"m{n % 2}", trigger="rerun")
        found = month()
        for lines in (found.days, found.agents, found.triggers, found.models):
            assert sum(line.sums.cost for line in lines) == found.total.cost == Decimal("0.20")
            assert sum(line.sums.input_tokens for line in lines) == 20_000

    def test_what_has_no_price_is_named_and_not_zero(self) -> None:
        paid(None, model_name="unknown")
        paid(None, model_name="mixed")
        paid("0.10", model_name="mixed")
        said = {line.label: line.sums.said for line in month().models}
        assert said == {"unknown": "price unknown", "mixed": "$0.10 + 1 unpriced requests"}
        assert [line.sums.each for line in month().models] == [Decimal("0.10"), None]

    def test_days_are_those_of_the_time_zone(self) -> None:
        paid("0.10", at=datetime(2025, 6, 29, 23, 30, tzinfo=UTC))
        with override_settings(TIME_ZONE="Europe/Berlin"), timezone.override("Europe/Berlin"):
            by_day = {line.day: line.sums.rows for line in month().days}
        assert (by_day[date(2025, 6, 30)], by_day[date(2025, 6, 29)]) == (1, 0)

    def test_the_day_of_the_clock_change_has_23_hours(self) -> None:
        with timezone.override("Europe/Berlin"):
            day = Period(date(2025, 3, 30), date(2025, 3, 30))
            assert day.end.timestamp() - day.start.timestamp() == 23 * 3600

    @pytest.mark.parametrize(
        ("now", "before", "said"),
        [
            ("1.12", "1.00", "12% more than the previous 30 days"),
            ("0.50", "1.00", "50% less than the previous 30 days"),
            ("1.00", "1.00", "About the same as the previous 30 days"),
            ("1.00", None, "No costs in the previous 30 days"),
        ],
    )
    def test_the_change(self, now: str, before: str | None, said: str) -> None:
        paid(now)
        if before:
            paid(before, days=35)
        assert month().change == said

    @pytest.mark.parametrize("unpriced_days_ago", [1, 35])
    def test_without_a_price_there_is_no_change_to_tell(self, unpriced_days_ago: int) -> None:
        paid("0.10")
        paid("1.00", days=35)
        paid(None, days=unpriced_days_ago)
        assert month().change == ""

    @pytest.mark.usefixtures("_in_utc")
    def test_the_period_before_is_as_long_as_what_has_passed(self) -> None:
        start, end = Period(TODAY, TODAY, 0).before(NOW)
        assert (start.isoformat(), end.isoformat()) == (
            "2025-06-29T00:00:00+00:00",
            "2025-06-29T12:00:00+00:00",
        )

    def test_figures_are_a_minute_old_at_most_and_made_anew_without_a_cache(
        self, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Queries
    ) -> None:
        paid()
        month()
        with django_assert_num_queries(1):  # the agents' names
            month()

        def away(*args: Any) -> None:
            raise RedisConnectionError("away")

        for name in ("get", "get_many", "set_many"):
            monkeypatch.setattr(cache, name, away)
        paid()
        assert month().total.rows == 2


class TestPeriods:
    @pytest.mark.parametrize(
        ("asked", "first", "last", "label"),
        [
            ({}, "2025-06-01", "2025-06-30", "Last 30 days"),
            ({"days": "7"}, "2025-06-24", "2025-06-30", "Last 7 days"),
            ({"from": "2025-01-05", "to": "2025-01-09"}, "2025-01-05", "2025-01-09",
             "Jan 5, 2025 – Jan 9, 2025"),
            ({"from": "2025-06-30"}, "2025-06-30", "2025-06-30", "Jun 30, 2025 – Jun 30, 2025"),
        ],
    )  # fmt: skip
    def test_as_the_address_names_them(
        self, asked: dict[str, str], first: str, last: str, label: str
    ) -> None:
        period = read_period(asked, today=TODAY)
        assert (str(period.first), str(period.last), period.label) == (first, last, label)
        again = dict(pair.split("=") for pair in period.query.split("&"))
        assert read_period(again, today=TODAY) == period

    @pytest.mark.parametrize(
        ("asked", "reason"),
        [
            ({"days": "31"}, "There is no period of “31” days."),
            ({"days": "x\x00"}, "There is no period"),
            ({"from": "2025-02-30"}, "“2025-02-30” is not a date"),
            ({"from": "soon"}, "“soon” is not a date"),
            ({"to": "2025-01-01"}, "“” is not a date"),
            ({"from": "0001-01-01", "to": "2025-01-01"}, "is not a date"),
            ({"from": "2025-02-02", "to": "2025-02-01"}, "before it begins"),
            ({"from": "2020-01-01", "to": "2025-01-01"}, "Choose at most"),
        ],
    )
    def test_what_is_none_says_why(self, asked: dict[str, str], reason: str) -> None:
        with pytest.raises(BadPeriod, match=re.escape(reason)):
            read_period(asked, today=TODAY)


class TestPage:
    @pytest.fixture(autouse=True)
    def _ledger(self) -> None:
        self.agent = make_agent(name="Billing line")
        self.chat = make_agent(name="Chat desk", channel="chat")
        for agent in (self.agent, self.chat):
            paid("0.25", at=timezone.now(), agent_id=agent.public_id)

    def test_it_shows_figures_with_their_links(self, viewer: Client) -> None:
        page = viewer.get("/costs/")
        html = page.content.decode()
        assert "<html" in html
        assert "$0.50" in text(page)
        assert "No costs in the previous 30 days" in text(page)
        period = last_days(30, timezone.localdate())
        between = f"analyzed_at__between={period.first}%2C{period.last}"
        assert f'href="/calls/?{between}&amp;agent={self.agent.public_id}"' in html
        assert f'href="/chats/?{between}&amp;agent={self.chat.public_id}"' in html
        assert f'href="/calls/?{between}&amp;analysis_trigger=initial"' in html
        assert f'href="/chats/?{between}&amp;analysis_model=gpt-a"' in html
        assert (
            viewer.get(re.findall(r'href="(/calls/\?analyzed[^"]+)"', html)[0]).status_code == 200
        )

    def test_without_a_cache_it_takes_a_fixed_number_of_queries(
        self, viewer: Client, django_assert_num_queries: Queries
    ) -> None:
        viewer.get("/costs/")
        cache.clear()
        with django_assert_num_queries(6):  # session, person, spent, rows, before, agents
            viewer.get("/costs/")

    def test_the_fragment_is_the_figures_alone(self, viewer: Client) -> None:
        part = viewer.get("/costs/", headers=HTMX)
        assert b"<html" not in part.content
        assert b'id="costs"' in part.content

    def test_a_wrong_period_is_told_and_the_usual_one_shown(self, viewer: Client) -> None:
        page = viewer.get("/costs/?days=12")
        assert page.status_code == 200
        assert "There is no period of “12” days." in text(page)
        assert viewer.get("/costs/export/?days=12").status_code == 400

    def test_nothing_spent_says_what_the_page_is_for(self, viewer: Client) -> None:
        assert "No costs yet" in text(viewer.get("/costs/?from=2020-01-01&to=2020-01-02"))

    def test_names_are_text(self, viewer: Client) -> None:
        make_agent(name="x")
        paid(at=timezone.now(), model_name="<b>bold</b>", agent_id="")
        assert b"<b>bold</b>" not in viewer.get("/costs/").content

    def test_unpriced_requests_are_told_above_the_tables(self, viewer: Client) -> None:
        paid(None, at=timezone.now(), model_name="mystery")
        said = text(viewer.get("/costs/"))
        assert "1 request has no price and isn’t included in these totals." in said
        assert "$0.50 + 1 unpriced requests" in said

    def test_how_many_conversations_each_counted_once(self, viewer: Client) -> None:
        paid("0.50", at=timezone.now(), trigger="rerun")
        part = viewer.get("/costs/conversations/", headers=HTMX)
        assert text(part) == "$1.00 each 1 conversation analyzed"
        assert b"<html" in viewer.get("/costs/conversations/").content

    def test_what_one_conversation_costs_is_without_try_it(self, viewer: Client) -> None:
        paid("9.00", at=timezone.now(), purpose="try_it", trigger="")
        part = viewer.get("/costs/conversations/", headers=HTMX)
        assert text(part) == "$0.50 each 1 conversation analyzed"

    def test_the_csv_has_every_row_and_runs_no_formula(self, viewer: Client) -> None:
        paid(None, at=timezone.now(), model_name="=HYPERLINK(1)")
        answer = viewer.get("/costs/export/?days=7")
        assert re.search(r'filename="costs-\S+-\S+\.csv"', answer["Content-Disposition"])
        body = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
        rows = list(csv.DictReader(io.StringIO(body)))
        assert [row["by"] for row in rows].count("day") == 7
        models = {row["name"]: row for row in rows if row["by"] == "model"}
        assert models["gpt-a"]["cost_usd"] == "0.500000000"
        assert models["'=HYPERLINK(1)"]["cost_usd"] == ""
        assert models["'=HYPERLINK(1)"]["price_unknown"] == "1"


class TestKeptDays:
    def test_a_day_that_is_over_is_summed_once(self, django_assert_num_queries: Queries) -> None:
        paid("0.10", days=1)
        days = [TODAY - timedelta(days=n) for n in (2, 1)]
        first = day_rows(days, NOW)
        with django_assert_num_queries(1):  # what was spent on these days
            assert day_rows(days, NOW) == first
        assert [row.sums.cost for row in first] == [Decimal("0.10")]

    def test_today_is_summed_each_time(self) -> None:
        paid("0.10", days=0)
        assert [row.sums.rows for row in day_rows([TODAY], NOW)] == [1]
        paid("0.10", days=0)
        assert [row.sums.rows for row in day_rows([TODAY], NOW)] == [2]

    def test_an_import_into_a_past_day_is_seen(self) -> None:
        days = [TODAY - timedelta(days=3)]
        assert day_rows(days, NOW) == []
        ledger.write([
            Usage(
                at=NOW - timedelta(days=3), purpose="analysis", model_name="gpt-a",
                trigger="imported", cost=Decimal("0.70"),
            )
        ])  # fmt: skip
        assert [row.sums.cost for row in day_rows(days, NOW)] == [Decimal("0.70")]

    @pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
    def test_sums_to_a_moment_are_those_of_the_ledger(self, zone: str) -> None:
        for hours in range(0, 24 * 40, 7):
            paid("0.01", days=hours / 24)
        with override_settings(TIME_ZONE=zone), timezone.override(zone):
            for length in (1, 7, 30):
                period = last_days(length, timezone.localtime(NOW).date())
                now = Usage.objects.between(period.start, period.end).count()
                past = Usage.objects.between(*period.before(NOW)).count()
                for _ in range(2):  # summed, then from the cache
                    rows, before = sums_of(period, NOW)
                    assert (sum(row.sums.rows for row in rows), before.rows) == (now, past)

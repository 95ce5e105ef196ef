"""Prices that change on a day: requests are charged by their time, estimates by today's prices."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import AuditEntry, Role, User
from apps.llm.caps import PriceUnknown, check_priced
from apps.llm.models import LanguageModel, Purpose
from apps.llm.pricing import FLEX, charged_prices
from apps.llm.services import usage_row
from apps.llm.specs import Prices, TokenUsage
from tests.factories import make_model

pytestmark = pytest.mark.django_db

NOON = datetime(2025, 1, 18, 12, tzinfo=timezone.get_current_timezone())
DEARER = Prices(Decimal(2), Decimal(1), Decimal(8))


def model_of(**values: object) -> LanguageModel:
    prices = {"input_price": Decimal(1), "cached_price": None, "output_price": Decimal(4)}
    return make_model(**{**prices, **values})


def planned(days: int = 1, prices: Prices = DEARER, **values: object) -> LanguageModel:
    model = model_of(**values)
    model.plan_prices(NOON + timedelta(days=days), prices)
    model.save()
    model.refresh_from_db()
    return model


def test_a_request_is_charged_by_the_time_at_which_it_was_sent() -> None:
    spec, day = planned().spec(), timedelta(days=1)
    before, after = NOON + day - timedelta(seconds=1), NOON + day
    usage = TokenUsage(1_000_000, 0, 0)
    rows = [
        usage_row(spec=spec, purpose=Purpose.ANALYSIS, usage=usage, at=NOON + 2 * day, sent_at=at)
        for at in (before, after)
    ]
    assert [row.cost for row in rows] == [1, 2]
    assert [row.input_price for row in rows] == [1, 2]


def test_the_flex_tier_is_a_share_of_the_prices_of_that_time() -> None:
    spec = planned(flex_factor=Decimal("0.5")).spec()
    later = charged_prices(spec, trigger="rerun", tier=FLEX, at=NOON + timedelta(days=1))
    assert later.input == 1


def test_changes_apply_one_after_the_other() -> None:
    model = planned(days=5)
    model.plan_prices(NOON + timedelta(days=2), Prices(Decimal(3), None, Decimal(3)))
    model.plan_prices(NOON + timedelta(days=2), Prices(Decimal(9), None, Decimal(9)))  # instead
    spec = model.spec()
    found = [spec.prices_at(NOON + timedelta(days=day)).input for day in (1, 2, 4, 5)]
    assert found == [1, 9, 9, 2]


def test_estimates_and_budgets_use_the_prices_of_today() -> None:
    begun, ahead = planned(), model_of(name="other", input_price=None, output_price=None)
    assert begun.prices == DEARER  # since 2025
    ahead.plan_prices(timezone.now() + timedelta(days=1), DEARER)
    with pytest.raises(PriceUnknown, match="other"):
        check_priced([begun, ahead])


class TestPage:
    @pytest.fixture
    def admin_page(self, client: Client) -> Client:
        client.force_login(User.objects.create_user("ada", role=Role.ADMIN))
        return client

    def form(self, model: LanguageModel, **changes: str) -> dict[str, str]:
        return {
            "enabled": "on", "structured_output": "auto", "parameters": "{}",
            "input_price": "1", "output_price": "4", "context_tokens": "1000",
            "max_output_tokens": "100", **changes,
        }  # fmt: skip

    def save(self, client: Client, model: LanguageModel, **changes: str) -> str:
        url = reverse("admin:llm_languagemodel_change", args=[model.pk])
        response = client.post(url, self.form(model, **changes))
        model.refresh_from_db()
        return response.content.decode()

    def test_a_change_is_planned_shown_and_removed(self, admin_page: Client) -> None:
        model = model_of()
        day = timezone.localdate() + timedelta(days=3)
        new = {"planned_from": str(day), "planned_input": "2", "planned_output": "8"}
        self.save(admin_page, model, **new)
        (change,) = model.planned
        assert timezone.localtime(change.valid_from).isoformat()[:19] == f"{day}T00:00:00"
        assert change.prices == Prices(Decimal(2), None, Decimal(8))
        assert model.prices.input == 1
        url = reverse("admin:llm_languagemodel_change", args=[model.pk])
        assert "$2.00 in, $8.00 out" in admin_page.get(url).content.decode()
        assert (
            f"{day:%b} {day.day}, {day.year}"
            in admin_page.get(reverse("admin:llm_languagemodel_changelist")).content.decode()
        )
        assert AuditEntry.objects.filter(verb="languagemodel.changed").exists()

        self.save(admin_page, model, remove_planned="on")
        assert model.planned == ()

    def test_prices_that_apply_by_now_are_edited_as_current(self, admin_page: Client) -> None:
        model = planned()
        url = reverse("admin:llm_languagemodel_change", args=[model.pk])
        assert 'value="8"' in admin_page.get(url).content.decode()
        self.save(admin_page, model, input_price="5", output_price="6")
        assert model.prices.input == 5
        assert model.planned_prices == []

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"planned_from": "2025-01-01", "planned_input": "1", "planned_output": "1"},
             "The day must be after today."),
            ({"planned_from": "2999-01-01", "planned_input": "1"},
             "Set both new input and output prices."),
            ({"planned_input": "1", "planned_output": "1"}, "Set the day from which"),
        ],
    )  # fmt: skip
    def test_a_plan_that_is_not_whole_says_so(
        self, admin_page: Client, changes: dict[str, str], sentence: str
    ) -> None:
        model = model_of()
        assert sentence in self.save(admin_page, model, **changes)
        assert model.planned == ()

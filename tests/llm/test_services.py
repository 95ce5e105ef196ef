from decimal import Decimal

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from apps.llm.catalog import KNOWN_MODELS
from apps.llm.models import LanguageModel, Usage
from apps.llm.services import correct_estimates, default_model, ensure_catalogue, usage_row
from apps.llm.specs import TokenUsage

pytestmark = pytest.mark.django_db


@pytest.fixture
def provider(settings: Settings) -> Settings:
    settings.BUNDLED_MODEL = False
    settings.DEFAULT_MODEL = "gpt-4.1-mini"
    return settings


def test_catalogue_twice_is_catalogue_once(provider: Settings) -> None:
    ensure_catalogue()
    ensure_catalogue()
    assert LanguageModel.objects.count() == len(KNOWN_MODELS)
    assert LanguageModel.objects.get(name="gpt-4.1-mini").output_price == Decimal("1.6")


def test_every_known_model_passes_its_own_rules(provider: Settings) -> None:
    ensure_catalogue()
    for model in LanguageModel.objects.all():
        model.full_clean()


def test_what_an_administrator_entered_is_kept(provider: Settings) -> None:
    LanguageModel.objects.create(
        name="gpt-4.1", enabled=False, input_price=Decimal(9), output_price=Decimal(9)
    )
    ensure_catalogue()
    model = LanguageModel.objects.get(name="gpt-4.1")
    assert (model.enabled, model.input_price, model.cached_price) == (False, Decimal(9), None)


def test_nothing_configured_brings_the_bundled_model(settings: Settings) -> None:
    assert settings.BUNDLED_MODEL
    model = default_model()
    assert (model.name, model.is_local) == (settings.BUNDLED_MODEL_NAME, True)
    assert model.output_price == 0
    assert model.context_tokens == settings.BUNDLED_MODEL_CONTEXT


def test_an_unknown_default_is_added_without_a_price(provider: Settings) -> None:
    provider.DEFAULT_MODEL = "house-model"
    model = default_model()
    assert (model.name, model.price_known, model.is_local) == ("house-model", False, False)


def test_default_model_is_one_query_once_it_is_there(
    provider: Settings, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    ensure_catalogue()
    with django_assert_num_queries(1):
        default_model()


def test_a_line_of_the_ledger_keeps_the_prices_of_its_moment() -> None:
    model = LanguageModel.objects.create(
        name="m", input_price=Decimal(1), cached_price=Decimal("0.1"), output_price=Decimal(10)
    )
    row = usage_row(
        spec=model.spec(), purpose="analysis", usage=TokenUsage(1_000, 400, 50), trigger="rerun",
        who="Ann", analysis_id="an_1",
    )  # fmt: skip
    Usage.objects.bulk_create([row])
    model.input_price = Decimal(99)
    model.save()
    row = Usage.objects.get()
    assert (row.input_price, row.cost) == (Decimal(1), Decimal("0.00114"))
    assert (row.model_id, row.who, row.analysis_id) == (model.pk, "Ann", "an_1")


def test_a_free_first_run_is_ledgered_at_zero_and_an_unknown_price_at_nothing() -> None:
    free = LanguageModel(
        name="f", input_price=Decimal(1), output_price=Decimal(1), free_first_run=True
    ).spec()
    usage = TokenUsage(10, 0, 10)
    assert usage_row(spec=free, purpose="analysis", usage=usage, trigger="initial").cost == 0
    unknown = LanguageModel(name="u").spec()
    assert usage_row(spec=unknown, purpose="analysis", usage=usage).cost is None


def test_estimates_move_towards_what_was_counted() -> None:
    LanguageModel.objects.create(name="m")
    correct_estimates(samples=[("m", 100, 150), ("m", 100, 150), ("gone", 1, 1), ("m", 0, 5)])
    assert LanguageModel.objects.get().token_correction == pytest.approx(1.1)
    correct_estimates(samples=[("m", 1, 1_000_000)])
    assert LanguageModel.objects.get().token_correction == pytest.approx(1.1 + (4 - 1.1) * 0.2)

from decimal import Decimal

from apps.llm.pricing import cacheable_tokens, charged_prices, cost, expected
from apps.llm.specs import ModelSpec, Prices, TokenUsage

PRICES = Prices(Decimal("0.40"), Decimal("0.10"), Decimal("1.60"))


def test_cost_is_exact_and_prices_cached_input_apart() -> None:
    usage = TokenUsage(input=1_500, cached=1_024, output=120)
    assert cost(usage, PRICES) == Decimal("0.0004848")


def test_cached_input_without_a_price_costs_what_input_costs() -> None:
    prices = Prices(Decimal(2), None, Decimal(8))
    assert cost(TokenUsage(1_000_000, 500_000, 0), prices) == Decimal(2)


def test_unknown_price_is_none_and_not_zero() -> None:
    assert cost(TokenUsage(1_000, 0, 1_000), Prices()) is None
    assert cost(TokenUsage(), Prices()) is None


def test_one_token_of_the_cheapest_model_is_not_lost() -> None:
    assert cost(TokenUsage(1, 1, 0), Prices(Decimal("0.05"), Decimal("0.005"), Decimal("0.4"))) == (
        Decimal("0.000000005")
    )


def test_first_run_is_free_where_the_model_says_so_and_reruns_never() -> None:
    spec = ModelSpec("m", prices=PRICES, free_first_run=True)
    usage = TokenUsage(1_000, 0, 100)
    assert cost(usage, charged_prices(spec, trigger="initial")) == 0
    assert cost(usage, charged_prices(spec, trigger="rerun")) == Decimal("0.00056")
    assert cost(usage, charged_prices(spec, trigger="backfill")) == Decimal("0.00056")


def test_the_bundled_model_is_always_free() -> None:
    spec = ModelSpec("m", is_local=True)
    assert cost(TokenUsage(10, 0, 10), charged_prices(spec, trigger="rerun")) == 0


def test_prefix_cache_counts_whole_steps_above_a_minimum() -> None:
    assert cacheable_tokens(1_023) == 0
    assert cacheable_tokens(1_024) == 1_024
    assert cacheable_tokens(1_200) == 1_152


def test_expected_applies_the_correction_and_the_cache() -> None:
    spec = ModelSpec("m", prices=PRICES, token_correction=1.5)
    plain = expected(spec, prefix_tokens=1_000, transcript_tokens=1_000, output_tokens=100)
    cached = expected(
        spec, prefix_tokens=1_000, transcript_tokens=1_000, output_tokens=100, cache_hit=True
    )
    assert (plain.input_tokens, plain.cached_tokens, cached.cached_tokens) == (3_000, 0, 1_408)
    assert plain.cost is not None
    assert cached.cost is not None
    assert cached.cost < plain.cost
    assert plain.times(3).cost == plain.cost * 3


def test_expected_of_an_unpriced_model_has_no_cost() -> None:
    made = expected(ModelSpec("m"), prefix_tokens=1, transcript_tokens=1, output_tokens=1)
    assert made.cost is None
    assert made.times(10).cost is None

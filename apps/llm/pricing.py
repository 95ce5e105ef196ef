"""What requests cost: exact decimals, and ``None`` wherever a price is unknown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from django.utils import timezone

from apps.llm.specs import ModelSpec, Prices, TokenUsage

SPREAD = Decimal("0.15")
"""The range around an expected cost. Estimates of tokens are held to ±15%."""

COST_QUANTUM = Decimal("0.000000001")
_MILLION = Decimal(1_000_000)
_FREE = Prices(Decimal(0), Decimal(0), Decimal(0))

FLEX = "flex"
"""The service tier with slower responses at a lower price, as OpenAI's protocol names it."""

BATCH = "batch"
"""How the ledger names responses that came through the provider's Batch API."""

REDUCED = (FLEX, BATCH)
"""Tiers with a price of their own."""

PREFIX_CACHE_MINIMUM = 1_024
"""Shorter common beginnings are not cached by providers."""

PREFIX_CACHE_STEP = 128


def cost(usage: TokenUsage, prices: Prices) -> Decimal | None:
    """US dollars for ``usage``; ``None`` where the price is unknown, which is not zero.

    Cached input without a price of its own costs what input costs.
    """
    if prices.input is None or prices.output is None:
        return None
    cached_price = prices.input if prices.cached is None else prices.cached
    total = (
        (usage.input - usage.cached) * prices.input
        + usage.cached * cached_price
        + usage.output * prices.output
    ) / _MILLION
    return total.quantize(COST_QUANTUM, ROUND_HALF_UP)


def charged_prices(
    spec: ModelSpec, *, trigger: str, tier: str = "", at: datetime | None = None
) -> Prices:
    """Return the prices of a request of this trigger and reported service tier, sent ``at`` a time.

    Without a time, they are the current ones.

    Any tier but a priced one of `REDUCED` has the standard price. Zero for a first analysis by a
    model that is *free on first run*; reruns and backfills are charged for all models. The
    bundled local model is always free.
    """
    if spec.is_local or (spec.free_first_run and trigger == "initial"):
        return _FREE
    prices = spec.prices_at(at or timezone.now())
    factor = {FLEX: spec.flex_factor, BATCH: spec.batch_factor}.get(tier)
    return prices if factor is None else prices.times(factor)


@dataclass(frozen=True, slots=True)
class Expected:
    """What one kind of request is expected to take, before it is sent."""

    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cost: Decimal | None

    def times(self, count: int) -> Expected:
        return Expected(
            self.input_tokens * count,
            self.cached_tokens * count,
            self.output_tokens * count,
            None if self.cost is None else self.cost * count,
        )


def cacheable_tokens(prefix_tokens: int) -> int:
    """Return how much of a common beginning a provider's prompt cache can serve."""
    if prefix_tokens < PREFIX_CACHE_MINIMUM:
        return 0
    return prefix_tokens - prefix_tokens % PREFIX_CACHE_STEP


def expected(
    spec: ModelSpec,
    *,
    prefix_tokens: int,
    transcript_tokens: int,
    output_tokens: int,
    trigger: str = "rerun",
    cache_hit: bool = False,
) -> Expected:
    """Expected tokens and cost of one request.

    ``prefix_tokens`` is the part that is constant for a config (instructions and schema),
    ``transcript_tokens`` the rest of the input; both as estimated, before the model's
    ``token_correction``. With ``cache_hit`` the constant part is priced as served from the
    provider's cache, which is the low end of a range.
    """
    input_tokens = round((prefix_tokens + transcript_tokens) * spec.token_correction)
    prefix = min(input_tokens, round(prefix_tokens * spec.token_correction))
    cached = cacheable_tokens(prefix) if cache_hit else 0
    output = min(output_tokens, spec.max_output_tokens)
    usage = TokenUsage(input_tokens, cached, output)
    return Expected(
        input_tokens, cached, output, cost(usage, charged_prices(spec, trigger=trigger))
    )

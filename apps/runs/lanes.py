"""Lanes of a backfill: how its requests are sent, for what price and how long.

*Flex* is OpenAI's tier with slower responses at a lower price. *Economy* sends requests through
the provider's Batch API, with responses within 24 hours. Each is offered where every model of a
backfill has a price factor for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from apps.analysis.estimates import Estimate
from apps.analysis.jobs import Tier
from apps.core.tasks import wake
from apps.llm.models import LanguageModel
from apps.llm.pricing import BATCH, FLEX

from .options import ECONOMY, STANDARD, NotAvailable

Load = tuple[LanguageModel, Estimate]

ENGINE = "runs.run_engine"
"""The task that runs the queue of backfills of one service tier."""

LABELS = {STANDARD: "Standard", FLEX: "Flex", ECONOMY: "Economy"}
CHEAPER = {FLEX: "flex", ECONOMY: "batch"}
"""The lanes with a price of their own, and the price factor that each needs."""
TIERS = {FLEX: FLEX, ECONOMY: BATCH}
"""How the ledger names what a lane sends."""


class LaneUnavailable(NotAvailable):
    """Raised where a model of a backfill doesn't have the lane that was asked for."""


@dataclass(frozen=True, slots=True)
class LaneEstimate:
    """What a backfill is expected to cost and take, in seconds, in one lane."""

    lane: str
    estimate: Estimate
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as the API shows it and a run stores it, with money as text."""
        money = {
            "cost": self.estimate.cost,
            "cost_low": self.estimate.low,
            "cost_high": self.estimate.high,
        }
        return {
            "input_tokens": self.estimate.input_tokens,
            "output_tokens": self.estimate.output_tokens,
            **{name: None if value is None else str(value) for name, value in money.items()},
            "seconds": round(self.seconds, 1),
        }


def is_economy(options: Mapping[str, Any]) -> bool:
    """Return whether a run sends batches, by its stored options."""
    return options.get("lane") == ECONOMY


def tier_of(options: Mapping[str, Any]) -> Tier:
    """Return the service tier of the requests of a run by its stored options.

    What a run in the economy lane asks for outside of batches is of the standard tier.
    """
    if options.get("lane") != FLEX:
        return Tier()
    return Tier(FLEX, falls_back=options.get("flex_unavailable") == STANDARD)


def wake_runners(options: Mapping[str, Any]) -> None:
    """Wake the runners of the tier of a run once the current transaction commits."""
    wake(ENGINE, tier=tier_of(options).name)


def factor_of(model: LanguageModel, lane: str) -> Decimal | None:
    """Return what a model costs in a lane, as a share of its prices; None where it has none."""
    return {FLEX: model.flex_factor, ECONOMY: model.batch_factor}.get(lane, Decimal(1))


def lacking(models: Iterable[LanguageModel], lane: str) -> list[str]:
    """Return the names of the models that don't have a lane."""
    return sorted({model.name for model in models if factor_of(model, lane) is None})


def check_lane(lane: str, models: Iterable[LanguageModel]) -> None:
    """Raise LaneUnavailable where a model of a backfill doesn't have its lane."""
    if names := lacking(models, lane):
        listed = ", ".join(names)
        verb = "has" if len(names) == 1 else "have"
        reason = f"{listed} {verb} no {CHEAPER[lane]} price factor"
        raise LaneUnavailable(
            f"{LABELS[lane]} isn’t available: {reason} under Models. Remove lane.",
            {"lane": f"{reason} under Models."},
        )


def at_price(loads: Sequence[Load], lane: str) -> list[Load]:
    """Return loads at the prices of a lane that all their models have."""
    return [(model, _reduced(load, factor_of(model, lane))) for model, load in loads]


def _reduced(load: Estimate, factor: Decimal | None) -> Estimate:
    # Every price of the lane is the same share, so that the cost is, too.
    if load.cost is None or factor is None:
        return load
    return replace(load, cost=load.cost * factor)

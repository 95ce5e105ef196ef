"""Lanes of a backfill: at which service tier its requests are sent, for what price and how long.

*Flex* is OpenAI's tier with slower responses at a lower price. It is offered where every model of a
backfill has a price factor for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from apps.analysis.estimates import Estimate
from apps.analysis.jobs import Tier
from apps.core.errors import Example
from apps.core.tasks import enqueue
from apps.llm.models import LanguageModel
from apps.llm.pricing import FLEX

from .options import STANDARD, NotAvailable

Load = tuple[LanguageModel, Estimate]

ENGINE = "runs.run_engine"
"""The task that runs the queue of backfills of one service tier."""


class FlexUnavailable(NotAvailable):
    """Raised where a model of a backfill has no flex tier."""

    example = Example(
        "Flex isn’t available: gpt-4.1-mini has no flex price factor under Models. Remove lane.",
        {"lane": "gpt-4.1-mini has no flex price factor under Models."},
    )


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


def tier_of(options: Mapping[str, Any]) -> Tier:
    """Return the service tier of the requests of a run by its stored options."""
    if options.get("lane") != FLEX:
        return Tier()
    return Tier(FLEX, falls_back=options.get("flex_unavailable") == STANDARD)


def wake_runners(options: Mapping[str, Any]) -> None:
    """Wake the runners of the tier of a run once the current transaction commits."""
    enqueue(ENGINE, tier=tier_of(options).name)


def without_flex(models: Iterable[LanguageModel]) -> list[str]:
    """Return the names of the models that have no flex tier."""
    return sorted({model.name for model in models if model.flex_factor is None})


def check_lane(lane: str, models: Iterable[LanguageModel]) -> None:
    """Raise FlexUnavailable where a flex backfill reads with a model that has none."""
    if lane == FLEX and (names := without_flex(models)):
        listed = ", ".join(names)
        reason = f"{listed} {'has' if len(names) == 1 else 'have'} no flex price factor"
        raise FlexUnavailable(
            f"Flex isn’t available: {reason} under Models. Remove lane.",
            {"lane": f"{reason} under Models."},
        )


def at_flex(loads: Sequence[Load]) -> list[Load]:
    """Return loads at the prices of the flex tier."""
    return [(model, _reduced(model, load)) for model, load in loads]


def _reduced(model: LanguageModel, load: Estimate) -> Estimate:
    # Every price of the tier is the same share, so that the cost is, too.
    if load.cost is None or model.flex_factor is None:
        return load
    return replace(load, cost=load.cost * model.flex_factor)

"""The options of a backfill besides its filters."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from apps.analysis.effects import UNLESS_ASKED, SideEffects
from apps.core.errors import Example, UserError
from apps.core.schemas import Body, Dollars, Percentage, WholeNumber
from apps.llm.pricing import FLEX

STANDARD, WAIT, ECONOMY = "standard", "wait", "economy"
"""The usual lane; what a cheaper lane does without capacity unless asked otherwise; and the lane
of the Batch API."""


class InvalidOptions(UserError):
    """Raised for an option that is unknown or out of range; ``fields`` names each."""

    code = "invalid_options"
    example = Example(
        "sample.count must be a whole number from 1 to 10,000,000, not “0”.",
        {"sample.count": "sample.count must be a whole number from 1 to 10,000,000, not “0”."},
    )


class NotAvailable(InvalidOptions):
    """Raised for a lane that the models of a backfill don't have: ignored, it would cost money."""

    code = "not_available"
    example = Example(
        "Flex isn’t available: gpt-4.1-mini has no flex price factor under Models. Remove lane.",
        {"lane": "gpt-4.1-mini has no flex price factor under Models."},
    )


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a backfill, at their defaults.

    At most one of ``sample_count`` and ``sample_percent`` is set; both draw by the ID of the
    conversation, so that the same sample comes out each time.
    """

    sample_count: int | None = None
    sample_percent: Decimal | None = None
    include_analyzed: bool = False
    side_effects: SideEffects = UNLESS_ASKED
    budget: Decimal | None = None
    lane: str = STANDARD
    flex_unavailable: str = WAIT
    batch_expired: str = WAIT

    @property
    def sampled(self) -> bool:
        return self.sample_count is not None or self.sample_percent is not None

    def as_dict(self) -> dict[str, Any]:
        """Return what the API shows and what is stored with the run."""
        sample: dict[str, Any] | None = None
        if self.sample_count is not None:
            sample = {"count": self.sample_count}
        elif self.sample_percent is not None:
            sample = {"percent": float(self.sample_percent)}
        return {
            "sample": sample,
            "include_analyzed": self.include_analyzed,
            "side_effects": self.side_effects.as_dict(),
            "lane": self.lane,
            "flex_unavailable": self.flex_unavailable if self.lane == FLEX else None,
            "batch_expired": self.batch_expired if self.lane == ECONOMY else None,
            "budget": None if self.budget is None else f"{self.budget:f}",
        }


class SampleByCount(Body):
    """N of the matching conversations, drawn by their IDs: the same ones each time."""

    count: Annotated[int, WholeNumber(1, 10_000_000)]


def _as_number(value: object) -> object:
    """Read a number that was written as text, as in a command."""
    try:
        return Decimal(value) if isinstance(value, str) else value
    except InvalidOperation:
        return value


class SampleByShare(Body):
    """A share of the matching conversations, drawn by their IDs: the same ones each time."""

    percent: Annotated[float, Percentage(above_zero=True), BeforeValidator(_as_number)]


def _none_if_empty(value: object) -> object:
    return None if value in ("", {}) else value


class OptionsIn(Body):
    """The options as the API, the command and the form send them, and as a run stores them."""

    unknown = InvalidOptions
    missing = InvalidOptions
    invalid = InvalidOptions
    wrong_type = InvalidOptions

    sample: Annotated[SampleByCount | SampleByShare | None, BeforeValidator(_none_if_empty)] = None
    include_analyzed: bool = False
    """Also reanalyze conversations that already have a result for these prompts."""
    side_effects: SideEffects | None = None
    lane: Annotated[
        Literal["standard", "flex", "economy"] | None, BeforeValidator(_none_if_empty)
    ] = None
    """`flex`: slower responses at a lower price, where each model has a flex price factor.
    `economy`: responses within 24 hours through the provider's Batch API, where each model has a
    batch price factor."""
    flex_unavailable: Annotated[
        Literal["wait", "standard"] | None, BeforeValidator(_none_if_empty)
    ] = None
    """In the lane `flex`, what happens after two minutes without flex capacity: `wait` (the
    default) pauses the backfill until there is some, `standard` pays the standard price."""
    batch_expired: Annotated[
        Literal["wait", "standard"] | None, BeforeValidator(_none_if_empty)
    ] = None
    """In the lane `economy`, what happens after two batches in a row that the provider did not
    complete in 24 hours: `wait` (the default) pauses the backfill, `standard` pays the standard
    price for the rest."""
    budget: Annotated[str | None, Dollars(), BeforeValidator(_none_if_empty)] = None
    """A limit in US dollars as text. The backfill pauses when this much is spent. Requires a price
    for each model."""

    def options(self) -> Options:
        """Return the options. Raises InvalidOptions for one that has no effect."""
        for name, lane in (("flex_unavailable", FLEX), ("batch_expired", ECONOMY)):
            if getattr(self, name) and self.lane != lane:
                message = f"{name} needs the lane {lane}. Set lane to {lane}, or remove it."
                raise InvalidOptions(message, {name: message})
        count, percent = None, None
        if isinstance(self.sample, SampleByCount):
            count = self.sample.count
        elif self.sample:
            percent = Decimal(str(self.sample.percent))
        effects = self.side_effects or UNLESS_ASKED
        budget = None if self.budget is None else Decimal(self.budget)
        return Options(
            count,
            percent,
            self.include_analyzed,
            effects,
            budget,
            lane=self.lane or STANDARD,
            flex_unavailable=self.flex_unavailable or WAIT,
            batch_expired=self.batch_expired or WAIT,
        )


def read_options(data: Mapping[str, Any]) -> Options:
    """Return the options in some data. Raises InvalidOptions, naming each bad one."""
    return OptionsIn.parse(data).options()

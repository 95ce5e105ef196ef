"""Lanes of a backfill: how its requests are sent, for what price and how long.

*Flex* is OpenAI's tier with slower responses at a lower price. *Economy* sends requests through
the provider's Batch API, with responses within 24 hours. Each is offered where every model of a
backfill has a price factor for it, and economy only where its provider is known to have it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import Count, Q, Sum
from django.db.models.fields.json import KT

from apps.analysis.claims import Tier
from apps.analysis.estimates import Estimate
from apps.analysis.models import Analysis, State
from apps.core.tasks import wake
from apps.llm.connections import is_openai
from apps.llm.limits import backfill_share
from apps.llm.models import LanguageModel
from apps.llm.pricing import BATCH, FLEX
from apps.llm.specs import ANY_SERVER

from .models import Shipment
from .options import ECONOMY, LABELS, STANDARD, NotAvailable

Load = tuple[LanguageModel, Estimate]

RUN_QUEUE = "runs.run_queue"
"""The task that runs the queue of backfills of one service tier."""

CHEAPER = {FLEX: "flex", ECONOMY: "batch"}
"""The lanes with a price of their own, and the price factor that each needs."""
_NAMED = {FLEX: "a flex tier", ECONOMY: "a Batch API"}
TIERS = {FLEX: FLEX, ECONOMY: BATCH}
"""How the ledger names what a lane sends."""

_LOOK_BACK = 500
FLEX_SLOWNESS = 3.0
"""How many times longer a response of the flex tier is expected to take where none was seen."""
BATCH_SECONDS = 24 * 3600.0
"""What a batch is expected to take where none was seen: the provider's own limit."""
_BATCHES = 20
"""Batches of a model from which its expected time is learned."""


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
    wake(RUN_QUEUE, tier=tier_of(options).name)


def factor_of(model: LanguageModel, lane: str) -> Decimal | None:
    """Return what a model costs in a lane, as a share of its prices; None where it has none."""
    return {FLEX: model.flex_factor, ECONOMY: model.batch_factor}.get(lane, Decimal(1))


def _has(model: LanguageModel, lane: str) -> bool | None:
    """Return whether a model's provider has a lane; None where that has to be checked first.

    OpenAI documents both. A flex tier that is missing costs the standard price, a missing Batch
    API stops a backfill.
    """
    if lane == FLEX:
        return model.has_flex is not False
    if lane == ECONOMY and model.has_batches is None:
        return True if is_openai(model.spec()) else None
    return lane != ECONOMY or bool(model.has_batches)


def lacking(models: Iterable[LanguageModel], lane: str) -> list[str]:
    """Return the names of the models that have no price factor for a lane."""
    return sorted({model.name for model in models if factor_of(model, lane) is None})


def why_lacking(models: Iterable[LanguageModel], lane: str) -> str:
    """Return why models don't have a lane, as a clause that begins with their names.

    Empty where all have it.
    """
    rows = list(models)
    known = {model.name: _has(model, lane) for model in rows}
    reasons = {
        f"no {CHEAPER.get(lane)} price factor under Models": lacking(rows, lane),
        f"a provider without {_NAMED.get(lane)}": [n for n, has in known.items() if has is False],
        f"no confirmed {_NAMED.get(lane, '').removeprefix('a ')} (check the connection under "
        "Models)": [n for n, has in known.items() if has is None],
    }
    for reason, names in reasons.items():
        if names:
            verb = "has" if len(names) == 1 else "have"
            return f"{', '.join(sorted(names))} {verb} {reason}"
    return ""


def check_lane(lane: str, models: Iterable[LanguageModel]) -> None:
    """Raise LaneUnavailable where a model of a backfill doesn't have its lane."""
    if why := why_lacking(models, lane):
        message = f"{LABELS[lane]} isn’t available: {why}. Remove lane."
        raise LaneUnavailable(message, {"lane": f"{why}."})


def lane_estimates(loads: Sequence[Load]) -> list[LaneEstimate]:
    """Return the estimate of each lane that all these models have, the standard one first."""
    lanes = [LaneEstimate(STANDARD, _sum(loads), expected_seconds(loads))]
    used = [model for model, load in loads if load.conversations]
    for lane in CHEAPER if used else ():
        if not why_lacking(used, lane):
            reduced = [(model, _reduced(load, factor_of(model, lane))) for model, load in loads]
            seconds = expected_seconds(loads, lane=lane)
            lanes.append(LaneEstimate(lane, _sum(reduced), seconds))
    return lanes


def _sum(loads: Sequence[Load]) -> Estimate:
    return sum((load for _, load in loads), Estimate())


def _reduced(load: Estimate, factor: Decimal | None) -> Estimate:
    # Every price of the lane is the same share, so that the cost is, too.
    if load.cost is None or factor is None:
        return load
    return replace(load, cost=load.cost * factor)


@dataclass(frozen=True, slots=True)
class Speed:
    """The speed of a model: tokens per second within one request; 0 where nothing was."""

    tokens_per_second: float = 0.0
    seconds_per_answer: float = ANY_SERVER.seconds_per_answer

    def seconds(self, load: Estimate) -> float:
        """Return the seconds of all the requests of a load, one after the other."""
        if not self.tokens_per_second:
            return load.conversations * self.seconds_per_answer
        return (load.input_tokens + load.output_tokens) / self.tokens_per_second


def expected_seconds(loads: Sequence[Load], *, lane: str = STANDARD) -> float:
    """Return the seconds that one worker process will need for these loads, in a lane."""
    tier = FLEX if lane == FLEX else ""
    by_model: dict[int, tuple[LanguageModel, Estimate]] = {}
    for model, load in loads:
        if load.conversations:
            before = by_model.get(model.pk, (model, Estimate()))[1]
            by_model[model.pk] = model, before + load
    if lane == ECONOMY:
        return max((_in_batches(model, load) for model, load in by_model.values()), default=0.0)
    speeds = _speeds([model for model, _ in by_model.values()])
    each, work = 0.0, 0.0
    for model, load in by_model.values():
        unseen = Speed(seconds_per_answer=model.spec().server.seconds_per_answer)
        seconds = speeds.get((model.name, ""), unseen).seconds(load)
        if tier:
            seen = speeds.get((model.name, tier))
            seconds = seen.seconds(load) if seen else seconds * FLEX_SLOWNESS
        work += seconds
        each = max(each, _alone(model, load, seconds))
    return max(each, work / settings.ANALYSIS_CONCURRENCY)


def _in_batches(model: LanguageModel, load: Estimate) -> float:
    """Return what a load takes through the Batch API: as long as recent batches of its model.

    Where its queue doesn't hold all of it, batches follow one after the other.
    """
    ended = Shipment.objects.filter(model=model, sent_at__isnull=False, ended_at__isnull=False)
    ended = ended.filter(status__in=["completed", "expired"]).order_by("-pk")[:_BATCHES]
    times = [one.seconds for one in ended]
    waves = 1
    if model.batch_queue_tokens:
        waves = max(1, -(-load.input_tokens // model.batch_queue_tokens))
    return waves * (sum(times) / len(times) if times else BATCH_SECONDS)


def _alone(model: LanguageModel, load: Estimate, seconds: float) -> float:
    """Return what a load takes if nothing but its model is slow: by the share of the model's
    requests in flight and of its limits per minute that a backfill really gets."""
    slots = min(settings.ANALYSIS_CONCURRENCY, load.conversations)
    if model.max_concurrency:
        slots = min(slots, backfill_share(model.max_concurrency))
    expected = max(seconds / slots, seconds / load.conversations)
    if model.requests_per_minute:
        per_minute = backfill_share(model.requests_per_minute)
        expected = max(expected, 60 * (load.conversations / per_minute - 1))
    if model.tokens_per_minute:
        tokens = load.input_tokens + load.output_tokens
        per_minute = backfill_share(model.tokens_per_minute)
        expected = max(expected, 60 * (tokens / per_minute - 1))
    return expected


def _speeds(models: Sequence[LanguageModel]) -> dict[tuple[str, str], Speed]:
    """Return the speed of these models, by name and tier: `flex` or empty for the standard one.

    Only recent successes count. The first response of a model that then reads the constant part of
    a prompt doesn't count either.
    """
    recent = Analysis.objects.order_by("-pk").values("pk")[:_LOOK_BACK]
    slow = [model.name for model in models if model.spec().server.first_answer_is_slow]
    rows = (
        Analysis.objects.filter(
            Q(cached_tokens__gt=0) | ~Q(model__in=slow),
            pk__in=recent,
            model__in=[model.name for model in models],
            state=State.SUCCEEDED,
            latency_ms__gt=0,
        )
        .order_by()
        .values("model", tier=KT("prices__tier"))
        .annotate(
            n=Count("pk"),
            milliseconds=Sum("latency_ms"),
            sent=Sum("input_tokens"),
            received=Sum("output_tokens"),
        )
    )
    return {(row["model"], row["tier"] or ""): _speed(row) for row in rows}


def _speed(row: Mapping[str, Any]) -> Speed:
    seconds = (row["milliseconds"] or 0) / 1_000
    tokens = (row["sent"] or 0) + (row["received"] or 0)
    return Speed(tokens / seconds, seconds / (row["n"] or 1))

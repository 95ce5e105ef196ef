"""How long a backfill is expected to take, by the speed of its models so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Count, Q, Sum
from django.db.models.fields.json import KT

from apps.analysis.estimates import Estimate
from apps.analysis.models import Analysis, State
from apps.llm.limits import backfill_share
from apps.llm.models import LanguageModel
from apps.llm.pricing import FLEX
from apps.llm.specs import ANY_SERVER

from .options import ECONOMY, STANDARD
from .shipment import Shipment

_LOOK_BACK = 500
FLEX_SLOWNESS = 3.0
"""How many times longer a response of the flex tier is expected to take where none was seen."""
BATCH_SECONDS = 24 * 3600.0
"""What a batch is expected to take where none was seen: the provider's own limit."""
_BATCHES = 20
"""Batches of a model from which its expected time is learned."""


@dataclass(frozen=True, slots=True)
class Speed:
    """The speed of a model: tokens per second within one request; 0 where nothing was."""

    tokens_per_second: float = 0.0
    seconds_per_answer: float = ANY_SERVER.seconds_per_answer

    def seconds(self, load: Estimate) -> float:
        """Return the seconds of all the requests of a load, one after the other."""
        if not self.tokens_per_second:
            return load.sessions * self.seconds_per_answer
        return (load.input_tokens + load.output_tokens) / self.tokens_per_second


def expected_seconds(
    loads: Sequence[tuple[LanguageModel, Estimate]], *, lane: str = STANDARD
) -> float:
    """Return the seconds that these loads will take in one worker process, in a lane."""
    tier = FLEX if lane == FLEX else ""
    by_model: dict[int, tuple[LanguageModel, Estimate]] = {}
    for model, load in loads:
        if load.sessions:
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
    slots = min(settings.ANALYSIS_CONCURRENCY, load.sessions)
    if model.max_concurrency:
        slots = min(slots, backfill_share(model.max_concurrency))
    expected = max(seconds / slots, seconds / load.sessions)
    if model.requests_per_minute:
        per_minute = backfill_share(model.requests_per_minute)
        expected = max(expected, 60 * (load.sessions / per_minute - 1))
    if model.tokens_per_minute:
        tokens = load.input_tokens + load.output_tokens
        per_minute = backfill_share(model.tokens_per_minute)
        expected = max(expected, 60 * (tokens / per_minute - 1))
    return expected


def _speeds(models: Sequence[LanguageModel]) -> dict[tuple[str, str], Speed]:
    """Return the speed of these models, by name and tier: `flex` or empty for the standard one.

    By recent successes only: a failure is no speed.

    Nor is the first response of a model that reads the constant part of a prompt only then.
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

"""How long a backfill will take: by the tokens per second of each model's recent successes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Count, Sum

from apps.analysis.estimates import Estimate
from apps.analysis.models import Analysis, State
from apps.llm.limits import backfill_share
from apps.llm.models import LanguageModel
from apps.llm.specs import ANY_SERVER

_LOOK_BACK = 500


@dataclass(frozen=True, slots=True)
class Speed:
    """What a model was seen to do: tokens per second within one request; 0 where nothing was."""

    tokens_per_second: float = 0.0
    seconds_per_answer: float = ANY_SERVER.seconds_per_answer

    def seconds(self, load: Estimate) -> float:
        """Return the seconds of all the requests of a load, one after the other."""
        if not self.tokens_per_second:
            return load.sessions * self.seconds_per_answer
        return (load.input_tokens + load.output_tokens) / self.tokens_per_second


def expected_seconds(loads: Sequence[tuple[LanguageModel, Estimate]]) -> float:
    """Return the seconds that these loads will take in one worker process."""
    by_model: dict[int, tuple[LanguageModel, Estimate]] = {}
    for model, load in loads:
        if load.sessions:
            before = by_model.get(model.pk, (model, Estimate()))[1]
            by_model[model.pk] = model, before + load
    speeds = _speeds([model.name for model, _ in by_model.values()])
    each, work = 0.0, 0.0
    for model, load in by_model.values():
        unseen = Speed(seconds_per_answer=model.spec().server.seconds_per_answer)
        seconds = speeds.get(model.name, unseen).seconds(load)
        work += seconds
        each = max(each, _alone(model, load, seconds))
    return max(each, work / settings.ANALYSIS_CONCURRENCY)


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


def _speeds(names: Sequence[str]) -> dict[str, Speed]:
    """Return what was seen of these models, by recent successes only: a failure is no speed."""
    recent = Analysis.objects.order_by("-pk").values("pk")[:_LOOK_BACK]
    rows = (
        Analysis.objects.filter(
            pk__in=recent, model__in=names, state=State.SUCCEEDED, latency_ms__gt=0
        )
        .order_by()
        .values("model")
        .annotate(
            n=Count("pk"),
            milliseconds=Sum("latency_ms"),
            sent=Sum("input_tokens"),
            received=Sum("output_tokens"),
        )
    )
    return {row["model"]: _speed(row) for row in rows}


def _speed(row: Mapping[str, Any]) -> Speed:
    seconds = (row["milliseconds"] or 0) / 1_000
    tokens = (row["sent"] or 0) + (row["received"] or 0)
    return Speed(tokens / seconds, seconds / (row["n"] or 1))

"""Services other than model calls: the catalog, the ledger, the correction of estimates."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db.models import F, Value
from django.utils import timezone

from apps.llm.catalog import KNOWN_MODELS
from apps.llm.connections import MissingKeyError, NotRunningError, endpoint
from apps.llm.models import LanguageModel, Usage
from apps.llm.pricing import charged_prices, cost
from apps.llm.specs import BUNDLED_SERVER, ModelSpec, TokenUsage

CORRECTION_BOUNDS = (0.25, 4.0)
"""Beyond these, a server's token counts are not believed."""

_CORRECTION_STEP = 0.2


def ensure_catalogue() -> None:
    """Add what the catalog of models lacks; called by ``up`` after the migrations.

    Adds, never changes: an existing row stays as it is. The well-known
    models come with their public list prices (see `catalogue`), the bundled model where no
    provider is configured, and ``DEFAULT_MODEL`` without a price where no one knows it.
    """
    rows = [LanguageModel(name=known.name, **known.fields()) for known in KNOWN_MODELS]
    if settings.BUNDLED_MODEL:
        rows.append(bundled_model())
    names = {row.name for row in rows}
    if settings.DEFAULT_MODEL not in names:
        rows.append(LanguageModel(name=settings.DEFAULT_MODEL))
    LanguageModel.objects.bulk_create(rows, ignore_conflicts=True)


def bundled_model() -> LanguageModel:
    """Return the unsaved row of the model that comes with Debrief."""
    nothing = Decimal(0)
    return LanguageModel(
        name=settings.BUNDLED_MODEL_NAME,
        is_local=True,
        input_price=nothing,
        cached_price=nothing,
        output_price=nothing,
        context_tokens=settings.BUNDLED_MODEL_CONTEXT,
        max_output_tokens=2_048,
        # Its server has one slot: a second request would wait there, and no person could pass it.
        max_concurrency=1,
        # Without the penalty it repeats one sentence until it is cut, in every second answer.
        parameters={"temperature": 0, "repeat_penalty": 1.13, "repeat_last_n": 256},
    )


def proposed_sample() -> int | None:
    """Return how many conversations a backfill dialog proposes to begin with; None: all.

    The bundled model needs seconds for each, and is there to try the product with.
    """
    return BUNDLED_SERVER.proposed_sample if settings.BUNDLED_MODEL else None


def default_model() -> LanguageModel:
    """The model of new agents (interfaces, *Environment*), added to the catalog if need be."""
    model = LanguageModel.objects.filter(name=settings.DEFAULT_MODEL).first()
    if model is None:
        ensure_catalogue()
        model = LanguageModel.objects.get(name=settings.DEFAULT_MODEL)
    return model


def why_unreachable(spec: ModelSpec) -> str:
    """Return why a model cannot be asked at all, in a message: no key, say; empty where it can.

    Nothing is sent: whether the key is any good shows with the first request.
    """
    try:
        endpoint(spec)
    except (MissingKeyError, NotRunningError) as error:
        return str(error)
    return ""


def usage_row(
    *,
    spec: ModelSpec,
    purpose: str,
    usage: TokenUsage,
    tier: str = "",
    estimated: bool = False,
    requests: int = 1,
    trigger: str = "",
    who: str = "",
    agent_id: str = "",
    conversation_id: str = "",
    analysis_id: str = "",
    backfill_id: str = "",
    at: datetime | None = None,
    sent_at: datetime | None = None,
) -> Usage:
    """Return an unsaved line of the ledger at the prices of ``sent_at``, for ``bulk_create``.

    That is when the request was sent. Without it, the prices are those of this moment.

    ``tier`` is the service tier that the provider reported, by whose price it is charged.
    A first analysis by a model that is free on first run is a line with a cost of zero: tokens
    were used all the same.
    """
    prices = charged_prices(spec, trigger=trigger, tier=tier, at=sent_at)
    return Usage(
        at=at or timezone.now(),
        purpose=purpose,
        model_id=spec.id,
        model_name=spec.name,
        trigger=trigger,
        who=who,
        agent_id=agent_id,
        conversation_id=conversation_id,
        analysis_id=analysis_id,
        backfill_id=backfill_id,
        tier=tier,
        requests=requests,
        input_tokens=usage.input,
        cached_tokens=usage.cached,
        output_tokens=usage.output,
        estimated=estimated,
        input_price=prices.input,
        cached_price=prices.cached,
        output_price=prices.output,
        cost=cost(usage, prices),
    )


def correct_estimates(*, samples: Iterable[tuple[str, int, int]]) -> None:
    """Move each model's ``token_correction`` toward what its server counted.

    ``samples`` are (model name, estimated input tokens before correction, actual input tokens)
    of responses that took one request and whose usage was not itself estimated.
    A fifth of the way at a time, so that one odd conversation cannot spoil the next preview.
    """
    sums: dict[str, list[int]] = {}
    for name, estimated, actual in samples:
        if estimated > 0 and actual > 0:
            total = sums.setdefault(name, [0, 0])
            total[0] += estimated
            total[1] += actual
    low, high = CORRECTION_BOUNDS
    for name, (estimated, actual) in sums.items():
        seen = min(high, max(low, actual / estimated))
        towards = F("token_correction") + (Value(seen) - F("token_correction")) * _CORRECTION_STEP
        LanguageModel.objects.filter(name=name).update(token_correction=towards)

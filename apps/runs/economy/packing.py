"""Choose the items of a batch and lease them to a shipment.

One shipment has items of one run and one model. It takes as many as a file of the provider may
hold, as fit into the queue of the model, and as the budget and the caps allow.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone

from apps.agents.models import AgentVersion, AnalysisConfig
from apps.analysis import reservations
from apps.analysis.claims import load_configs
from apps.analysis.estimates import constant_tokens
from apps.llm.batch_api import MOST_REQUESTS, QUEUE_FULL
from apps.llm.models import LanguageModel
from apps.llm.pricing import BATCH
from apps.runs import budgets
from apps.runs.backfill_queue import Picked, finish_without_request, pick, start_run
from apps.runs.models import PauseReason, Run, Shipment, ShipmentState, State
from apps.runs.recovery import pause_for

LEARNED_FOR = timedelta(hours=24)
"""For how long a full queue keeps the batches of its model small."""

_WAITING = """
NOT i.direct AND i.config_id = ANY(%(configs)s)
  AND NOT EXISTS (SELECT 1 FROM analysis_analysis a
    WHERE a.conversation_id = i.conversation_id AND a.state IN ('pending', 'running'))
"""


def waiting_runs() -> list[Run]:
    """Return the runs in the economy lane that have items to pack."""
    runs = Run.objects.in_batches().claimable().order_by("pk")
    return [run for run in runs if run.items.filter(state="pending", direct=False).exists()]


def pack(run: Run) -> int:
    """Lease waiting items of a run to shipments, as far as they fit; return how many."""
    count = 0
    for model, configs in _models(run).items():
        if model.batch_factor is None:
            message = f"{model.name} no longer has a batch price factor under Models."
            pause_for(run.pk, PauseReason.BATCHES, message)
            return count
        while packed := _pack_one(run, model, configs):
            count += packed
    return count


def _models(run: Run) -> dict[LanguageModel, list[int]]:
    """Return the configs of a run by their model."""
    hashes = {entry["config"] for entry in run.plan}
    found: dict[LanguageModel, list[int]] = defaultdict(list)
    rows = AnalysisConfig.objects.filter(sha256__in=hashes).select_related("model")
    for config in rows.order_by("model_id", "pk"):
        found[config.model].append(config.pk)
    return found


def _pack_one(run: Run, model: LanguageModel, configs: Sequence[int]) -> int:
    """Make one shipment of a model; return how many items it has."""
    with transaction.atomic():
        _lock_queue(model)
        room = _room(model)
        if room is not None and room <= 0:
            return 0
        if run.state == State.QUEUED:
            start_run(run)
        limit = min(MOST_REQUESTS, settings.BATCH_REQUESTS)
        picked = pick(run, limit, where=_WAITING, configs=list(configs))
        finish_without_request([p.item_id for p in picked if p.done])
        fresh, tokens = _fitting([p for p in picked if not p.done], model, room)
        afforded = budgets.afford(run, fresh, tier=BATCH)
        fresh = fresh[: afforded.count]
        if not fresh:
            return sum(p.done for p in picked)
        shipment = Shipment.objects.create(
            run=run, model=model, requests=len(fresh), tokens=sum(tokens[: len(fresh)])
        )
        _lease(shipment, fresh)
        amounts = _by_agent(fresh, afforded.reserved)
        reservations.set_aside(shipment.public_id, run.public_id, amounts)
    return len(picked)


def _lock_queue(model: LanguageModel) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"batches of {model.pk}"]
        )


def queued_tokens(model: LanguageModel) -> int:
    """Return the estimated input tokens of the model's batches that the provider hasn't ended."""
    states = [ShipmentState.PREPARED, ShipmentState.UPLOADED, ShipmentState.SENT]
    rows = Shipment.objects.filter(model=model, state__in=states)
    return int(rows.aggregate(sum=Sum("tokens"))["sum"] or 0)


def _room(model: LanguageModel) -> int | None:
    """Return how many input tokens fit into the model's queue; None: any number.

    After a batch that the provider rejected as too large, its queue counts as half as long.
    """
    limits = [] if model.batch_queue_tokens is None else [model.batch_queue_tokens]
    since = timezone.now() - LEARNED_FOR
    full = Shipment.objects.filter(model=model, error_code=QUEUE_FULL, ended_at__gt=since)
    if found := full.order_by("-ended_at").values_list("queue_tokens", flat=True).first():
        limits.append(found // 2)
    return min(limits) - queued_tokens(model) if limits else None


def _fitting(
    items: Sequence[Picked], model: LanguageModel, room: int | None
) -> tuple[list[Picked], list[int]]:
    """Return the first items whose tokens fit, and the tokens of each.

    One item alone is sent even if it doesn't fit: no batch is smaller.
    """
    configs = load_configs({p.config_id for p in items})
    fixed = {pk: constant_tokens(c.sha256, c.document) for pk, c in configs.items()}
    tokens = [round(((p.tokens or 0) + fixed[p.config_id]) * model.token_correction) for p in items]
    if room is None:
        return list(items), tokens
    for count, size in enumerate(tokens):
        room -= size
        if room < 0 and (count or queued_tokens(model)):
            return list(items[:count]), tokens[:count]
    return list(items), tokens


_LEASE = """
UPDATE runs_runitem i SET state = 'running', shipment_id = %s, attempts = i.attempts + 1,
  previous_analysis_id = (SELECT a.id FROM analysis_analysis a
    WHERE a.conversation_id = i.conversation_id AND a.is_current)
WHERE i.id = ANY(%s)
"""


def _lease(shipment: Shipment, items: Sequence[Picked]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_LEASE, [shipment.pk, [p.item_id for p in items]])


def _by_agent(items: Sequence[Picked], costs: Sequence[Decimal | None]) -> Mapping[str, Decimal]:
    """Return the amount to set aside for each agent, by its public ID."""
    if not any(costs):
        return {}
    versions = AgentVersion.objects.filter(pk__in={p.version_id for p in items})
    agents = dict(versions.values_list("pk", "agent__public_id"))
    amounts: dict[str, Decimal] = defaultdict(Decimal)
    for item, cost in zip(items, costs, strict=True):
        amounts[agents[item.version_id]] += cost or Decimal(0)
    return amounts

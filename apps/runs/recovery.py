"""Resume runs that a provider paused once it responds again (decision 0027).

One worker at a time sends one tiny request per model, at growing intervals, to find out. A rejected
key and an empty account wait for a person.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.agents.models import AnalysisConfig
from apps.analysis import recovery
from apps.analysis.model_call import AnalysisOutcome
from apps.analysis.recovery import pause_before
from apps.llm import ledger
from apps.llm.models import LanguageModel, Purpose
from apps.llm.probes import Probe, probe
from apps.llm.services import usage_row

from .budgets import CAP_SECONDS, why_capped
from .lanes import tier_of, wake_runners
from .models import BY_ITSELF, ItemState, PauseReason, Run, RunItem, State

logger = logging.getLogger(__name__)

LONGEST_SECONDS = 20 * settings.RECOVERY_SECONDS
"""The longest pause between two probes: 5 minutes."""
MOST_PROBES = 300
"""After this many probes, about a day, a run waits for a person."""
MOST_TRIES = 4
"""An item fails at this attempt if its provider responds to others."""
ITEM_SECONDS = 60 * settings.RECOVERY_SECONDS
"""The longest pause between two attempts of an item: 15 minutes."""


def pause_run(run_id: int, outcome: AnalysisOutcome) -> None:
    """Pause a run for its provider, with the provider's words and the time of the next probe.

    The intervals start anew only where something was done since the run was resumed.
    """
    pause_for(run_id, outcome.pause, outcome.error_message, retry_after=outcome.retry_after)


def pause_for(run_id: int, reason: str, message: str, *, retry_after: float | None = None) -> None:
    """Pause a run for its provider, as `pause_run`. ``reason`` is a `PauseReason`."""
    now = timezone.now()
    run = Run.objects.filter(pk=run_id, state__in=[State.QUEUED, State.RUNNING]).first()
    if run is None:
        return
    probes = 0 if _got_on(run) else run.probes
    by_itself = reason in BY_ITSELF
    wait = max(_interval(probes), retry_after or 0.0)
    Run.objects.filter(pk=run.pk, state__in=[State.QUEUED, State.RUNNING]).update(
        state=State.PAUSED,
        reason=reason,
        reason_detail=message[:1000],
        probes=probes,
        resume_at=now + timedelta(seconds=wait) if by_itself else None,
    )


def _got_on(run: Run) -> bool:
    """Whether an item was done since the run was started or resumed."""
    since = run.resumed_at or run.created_at
    return run.items.filter(state=ItemState.DONE, finished_at__gte=since).exists()


def _interval(probes: int) -> float:
    return pause_before(probes + 1, longest=LONGEST_SECONDS)


def put_off(outcome: AnalysisOutcome) -> bool:
    """Let an item wait a little after a fault of its provider; False where it is to fail now."""
    item = RunItem.objects.filter(pk=outcome.job.item_id or 0, state=ItemState.RUNNING)
    tries = item.values_list("tries", flat=True).first()
    if tries is None or tries + 1 >= MOST_TRIES:
        return False
    pause = pause_before(tries + 1, longest=ITEM_SECONDS)
    item.update(tries=tries + 1, not_before=timezone.now() + timedelta(seconds=pause))
    return True


def due(now: datetime) -> bool:
    """Whether any run is to be probed for."""
    return Run.objects.filter(state=State.PAUSED, resume_at__lte=now).exists()


def probe_due(now: datetime | None = None) -> int:
    """Probe the providers of runs that are due, and resume runs; return how many resumed."""
    now = now or timezone.now()
    resumed = 0
    while (run := _next(now)) is not None:
        if run.reason == PauseReason.BUDGET:
            resumed += 0 if why_capped(run, now) else resume_by_itself(run)
            continue
        answers = [probe(model.spec(), tier=_tier(run, model)) for model in models_left(run)]
        _charge(run, answers)
        failed = next((one for one in answers if not one.is_back), None)
        if failed is None:
            resumed += resume_by_itself(run)
        else:
            _wait_on(run, failed)
    return resumed


def _next(now: datetime) -> Run | None:
    """Take the run that has waited longest; it is due again later, whatever becomes of this."""
    with transaction.atomic():
        rows = Run.objects.filter(state=State.PAUSED, resume_at__lte=now)
        locked = rows.select_for_update(skip_locked=True, no_key=True)
        run = locked.order_by("resume_at").first()
        if run is None:
            return None
        if run.reason == PauseReason.BUDGET:
            run.resume_at = now + timedelta(seconds=CAP_SECONDS)
            run.save(update_fields=["resume_at"])
            return run
        run.probes += 1
        more = run.probes < MOST_PROBES
        wait = timedelta(seconds=_interval(run.probes))
        run.resume_at = now + wait if more else None
        run.save(update_fields=["probes", "resume_at"])
        return run


def models_left(run: Run) -> Sequence[LanguageModel]:
    """Return the models that read the remaining items of a run."""
    left = RunItem.objects.filter(run=run, config__model=OuterRef("pk")).unfinished()
    return list(LanguageModel.objects.filter(Exists(left)).order_by("pk"))


def _tier(run: Run, model: LanguageModel) -> str:
    """Return the service tier that the rest of a run waits for; empty for the standard one."""
    tier = tier_of(run.options)
    return "" if tier.falls_back or model.flex_factor is None else tier.name


def _charge(run: Run, answers: Sequence[Probe]) -> None:
    """Write what the questions cost into the ledger, as a part of the run."""
    ledger.write(
        usage_row(
            spec=one.spec,
            purpose=Purpose.ANALYSIS,
            usage=one.answer.usage,
            tier=one.answer.service_tier,
            requests=one.answer.requests,
            who="system: probe",
            backfill_id=run.public_id,
        )
        for one in answers
        if one.answer.usage.total
    )


def resume_by_itself(run: Run) -> bool:
    """Resume a run whose provider responds; return whether the run was still paused for it."""
    with transaction.atomic():
        capped = Q(reason=PauseReason.BUDGET, resume_at__isnull=False)
        waits = Run.objects.filter(Q(reason__in=BY_ITSELF) | capped, pk=run.pk, state=State.PAUSED)
        moved = waits.update(
            state=State.RUNNING if run.started_at else State.QUEUED,
            reason="",
            reason_detail="",
            resume_at=None,
            resumed_at=timezone.now(),
        )
        if moved:
            run.items.stop_waiting()
            audit.record(by=Actor.system("backfill"), verb="backfill.resumed", target=run.public_id)
            wake_runners(run.options)
            configs = AnalysisConfig.objects.filter(model__in=models_left(run))
            recovery.release(configs.values_list("pk", flat=True))
    return bool(moved)


def _wait_on(run: Run, failed: Probe) -> None:
    """Keep a run paused, with what its provider says now. Earlier faults of items were part of
    the outage and do not count against them."""
    reason = failed.answer.pause or PauseReason.PROVIDER_DOWN
    paused = Run.objects.filter(pk=run.pk, state=State.PAUSED, reason__in=BY_ITSELF)
    changes = {"reason": reason, "reason_detail": failed.answer.error_message[:1000]}
    if reason not in BY_ITSELF:
        paused.update(**changes, resume_at=None)
    elif failed.answer.retry_after and run.resume_at:
        at = timezone.now() + timedelta(seconds=failed.answer.retry_after)
        paused.update(**changes, resume_at=max(run.resume_at, at))
    else:
        paused.update(**changes)
    run.items.filter(state=ItemState.PENDING, tries__gt=0).update(tries=0)

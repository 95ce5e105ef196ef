"""Keep backfills within their budgets.

A budget is in the run's options. Before a worker claims items, the most that their requests may
cost (`HighestCost` of `apps.analysis.estimates`) is set aside, under the lock of the run; a run
whose budget is spent pauses until a person changes it.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.agents.models import AgentVersion
from apps.analysis.claims import AnalysisJob, load_configs
from apps.analysis.estimates import HighestCost
from apps.analysis.models import Analysis
from apps.analysis.reservations import reserve_in_flight
from apps.conversations.models import Trigger
from apps.core.display import money
from apps.core.errors import Conflict, Example
from apps.llm.caps import BudgetReached, any_cap, check_priced, why_reached
from apps.llm.models import LanguageModel
from apps.llm.pricing import charged_prices, cost
from apps.llm.reservations import (
    Balance,
    CapBalance,
    allowed,
    balances_of_runs,
    cap_balances,
)
from apps.llm.specs import TokenUsage

from .models import Kind, PauseReason, Run, RunQuerySet, State

#: How often a request waits a second for the database before it gives up its reservation.
_PATIENCE = 30
CAP_SECONDS = 15
"""A run that waits for a cap looks again after this many seconds."""


class BudgetChanged(Conflict):
    """Raised where another person changed the budget in the meantime."""

    code = "budget_changed"
    example = Example("The budget was changed to $20.00 in the meantime. Check it, then try again.")


class Claimable(Protocol):
    """An item that is about to be claimed."""

    @property
    def config_id(self) -> int: ...

    @property
    def version_id(self) -> int: ...

    @property
    def tokens(self) -> int: ...


def budget_of(options: Mapping[str, Any]) -> Decimal | None:
    """Return the budget in the stored options of a run; None where it has none."""
    budget = options.get("budget")
    return None if budget is None else Decimal(budget)


def balances_of(runs: Iterable[Run]) -> dict[str, Balance]:
    """Return what the runs that have a budget have left of it, by public ID, in one query."""
    budgets = {run.public_id: budget_of(run.options) for run in runs}
    return balances_of_runs({pk: limit for pk, limit in budgets.items() if limit is not None})


def balance_of(run: Run) -> Balance | None:
    """Return what a run has left of its budget; None where it has none."""
    return balances_of([run]).get(run.public_id)


def check_plan(plan: Sequence[Mapping[str, Any]], budget: Decimal | None) -> None:
    """Raise PriceUnknown where a budget or a cap needs a price that a model of a plan lacks."""
    used = [entry for entry in plan if entry["conversations"]]
    if budget is None and not any_cap({entry["agent"] for entry in used}):
        return
    models = LanguageModel.objects.filter(name__in={entry["model"] for entry in used})
    check_priced(models, limit="spending cap" if budget is None else "budget")


@dataclass(frozen=True, slots=True)
class Afforded:
    """How many items may be claimed, from the first one on, and what to set aside for each."""

    count: int
    reserved: Sequence[Decimal | None]


def afford(run: Run, items: Sequence[Claimable], *, tier: str = "") -> Afforded:
    """Return which of these items the budget of a run covers, and pause the run if it is spent.

    Call it in a transaction that holds the run's lock, and claim those items there. Where all
    that is left is set aside for requests in flight, nothing is claimed until they are recorded.
    """
    balance = balance_of(run) if items else None
    balances = cap_balances() if items else []
    if balance is None and not balances:
        return Afforded(len(items), [None] * len(items))
    if balance is not None and balance.is_spent:
        pause_for_budget(run, balance)
        return Afforded(0, [])
    highest = {
        pk: HighestCost(config, trigger=Trigger.BACKFILL, tier=tier)
        for pk, config in load_configs({item.config_id for item in items}).items()
    }
    costs = [highest[item.config_id].of(item.tokens) for item in items]
    count = len(items) if balance is None else balance.covers(costs)
    if count and balances:
        count = min(count, _within_caps(run, items, costs, balances))
    if not count and costs[0] is None:
        _pause(run, "A model of this backfill no longer has a price, which a budget needs.")
    return Afforded(count, costs[:count])


def _within_caps(
    run: Run,
    items: Sequence[Claimable],
    costs: Sequence[Decimal | None],
    balances: Sequence[CapBalance],
) -> int:
    """Return how many items the caps cover, from the first one on; pause at a reached cap."""
    versions = AgentVersion.objects.filter(pk__in={item.version_id for item in items})
    agents = dict(versions.values_list("pk", "agent__public_id"))
    requests = [(agents[i.version_id], cost) for i, cost in zip(items, costs, strict=True)]
    fits = [*allowed(balances, requests), False]
    count = fits.index(False)
    mine = [b.cap for b in balances if b.cap.agent_id in {"", requests[0][0]}]
    full = next((cap for cap in mine if cap.is_reached), None)
    if not count and full:
        _pause(run, full.sentence, again=timedelta(seconds=CAP_SECONDS))
    return count


def why_capped(run: Run, now: datetime | None = None) -> str:
    """Return why a cap holds a run back; empty where none does."""
    return why_reached({entry["agent"] for entry in run.plan if entry["conversations"]}, now)


def pause_for_budget(run: Run, balance: Balance) -> None:
    """Pause a run whose budget is spent, with the numbers."""
    _pause(run, f"{money(balance.spent)} of {money(balance.limit)} is spent.")


def _run_of(job: AnalysisJob, runs: RunQuerySet) -> Run | None:
    return runs.filter(pk=job.backfill_id).first() if job.backfill_id else None


def pause_for_job(job: AnalysisJob) -> None:
    """Pause the run of a job that may send no further request."""
    run = _run_of(job, Run.objects.all())
    if run and (balance := balance_of(run)):
        left = "the rest is set aside for requests in progress"
        detail = f"{money(balance.spent)} of {money(balance.limit)} is spent, {left}."
        _pause(run, detail)


def _pause(run: Run, detail: str, *, again: timedelta | None = None) -> None:
    """Pause a run. One that waits for a cap looks ``again`` after this time."""
    Run.objects.filter(pk=run.pk, state__in=[State.QUEUED, State.RUNNING]).update(
        state=State.PAUSED,
        reason=PauseReason.BUDGET,
        reason_detail=detail,
        resume_at=timezone.now() + again if again else None,
    )


async def may_repeat(job: AnalysisJob, usage: TokenUsage) -> bool:
    """Set money aside for a further request of a job; return whether the budget allows it."""
    more = cost(usage, charged_prices(job.spec, trigger=job.trigger))
    for _ in range(_PATIENCE):
        try:
            return more is not None and await asyncio.to_thread(_reserve_more, job, more)
        except (OperationalError, InterfaceError):
            await asyncio.sleep(1)
    return False


def _reserve_more(job: AnalysisJob, more: Decimal) -> bool:
    """Add to the reservation of a job, in a thread with a connection of its own."""
    try:
        with transaction.atomic():
            run = _run_of(job, Run.objects.select_for_update(no_key=True))
            balance = balance_of(run) if run else None
            if balance is not None and balance.left <= 0:
                return False
            held = Analysis.objects.filter(pk=job.analysis_id, lease_token=job.token)
            held.update(reserved=F("reserved") + more)
            return True
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class Seen:
    """The budget that a person saw before changing it."""

    budget: Decimal | None


def change_budget(*, run: Run, budget: Decimal | None, by: Actor, seen: Seen | None = None) -> None:
    """Set or remove the budget of an active backfill; one that waited for it resumes.

    ``seen`` is the budget that the person saw, None where that doesn't matter. Raises
    BudgetChanged where it is another one by now, PriceUnknown, and BudgetFixed.
    """
    with transaction.atomic():
        locked = Run.objects.select_for_update(no_key=True).get(pk=run.pk)
        before = budget_of(locked.options)
        if locked.kind != Kind.BACKFILL or locked.state not in _CHANGEABLE:
            kind, state = locked.get_kind_display(), locked.get_state_display().lower()
            raise BudgetFixed(f"This {kind.lower()} is {state}: its budget can’t be changed.")
        if seen is not None and seen.budget != before:
            now = "removed" if before is None else f"changed to {money(before)}"
            raise BudgetChanged(f"The budget was {now} in the meantime. Check it, then try again.")
        if budget is not None:
            check_plan(locked.plan, budget)
        locked.options = {**locked.options, "budget": None if budget is None else f"{budget:f}"}
        locked.save(update_fields=["options"])
        if budget is not None:
            # Requests that were claimed while the run had no budget.
            reserve_in_flight(Analysis.objects.filter(backfill_public_id=run.public_id))
        detail = {"from": before and f"{before:f}", "to": budget and f"{budget:f}"}
        audit.record(by=by, verb="backfill.budget_changed", target=run.public_id, detail=detail)
    run.refresh_from_db()


_CHANGEABLE = (State.QUEUED, State.RUNNING, State.PAUSED)


class BudgetFixed(Conflict):
    """Raised for the budget of a run that has ended."""

    code = "wrong_state"
    example = Example("This backfill is completed: its budget can’t be changed.")


def check_budget(run: Run) -> None:
    """Raise BudgetReached where a run has nothing left of its budget, or of a cap."""
    balance = balance_of(run)
    if balance is not None and balance.is_spent:
        raise BudgetReached(
            f"The budget of {money(balance.limit)} is spent. Change it to continue."
        )
    if run.kind == Kind.BACKFILL and (sentence := why_capped(run)):
        raise BudgetReached(sentence)

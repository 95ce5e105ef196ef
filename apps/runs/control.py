"""Pause, resume, and cancel runs, change their budgets, and queue their failed items again.

Items that had failed by the moment of the click are queued again: at once where they are few, else
in batches, in a worker. Each batch is a transaction of its own, and the next one finds only the
rest, so that a worker that stops leaves nothing behind.
"""

from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.core.errors import Conflict, Example
from apps.core.tasks import enqueue
from apps.llm.caps import BudgetReached
from apps.llm.errors import ErrorCode

from . import budgets, starting
from .closing import close_finished
from .economy import steps
from .failures import can_change
from .lanes import is_economy
from .models import PauseReason, Run, RunItemQuerySet, State

RETRY_BATCH = 10_000
"""Items that a transaction queues again, and the most that a click queues at once."""


class UnableToChange(Conflict):
    """The run is not in a state in which this can be done."""

    code = "wrong_state"
    example = Example("Only a running backfill can be paused; this one is completed.")


def cancel(*, run: Run, by: Actor) -> None:
    """Cancel a run: pending items are skipped, and requests in flight are still recorded."""
    _move(
        run,
        by,
        "cancelled",
        to=State.CANCELLING,
        allowed=(State.QUEUED, State.RUNNING, State.PAUSED),
    )
    if is_economy(run.options):
        steps.hurry(run)
    if run.total <= starting.AT_ONCE:
        close_finished()
    else:
        enqueue("runs.sweep")  # counts the items for the event


def pause(*, run: Run, by: Actor) -> None:
    """Pause a run until it is resumed. Requests in flight are still recorded."""
    _move(
        run,
        by,
        "paused",
        to=State.PAUSED,
        allowed=(State.QUEUED, State.RUNNING),
        reason=PauseReason.BY_USER,
    )
    if is_economy(run.options):
        steps.hurry(run)


def resume(*, run: Run, by: Actor) -> None:
    """Resume a paused run; one that was paused before it began is queued again.

    Raises BudgetReached if its budget is spent.
    """
    if run.state == State.PAUSED:
        budgets.check_budget(run)
    to = State.RUNNING if run.started_at else State.QUEUED
    _move(run, by, "resumed", to=to, allowed=(State.PAUSED,), resumed_at=timezone.now())
    run.items.stop_waiting()
    starting.start_work(run)


def change_budget(
    *, run: Run, budget: Decimal | None, by: Actor, seen: budgets.Seen | None = None
) -> None:
    """Set or remove the budget of a backfill, and resume it if it waited for that.

    Raises what `budgets.change_budget` raises.
    """
    budgets.change_budget(run=run, budget=budget, by=by, seen=seen)
    if run.state == State.PAUSED and run.reason == PauseReason.BUDGET:
        with suppress(BudgetReached, UnableToChange):
            resume(run=run, by=by)


def retry_failed(*, run: Run, by: Actor, only_hopeful: bool = False) -> int:
    """Queue the failed items of a run again, with the configs frozen at Save; how many.

    ``only_hopeful`` leaves out those that would fail in the same way again. Those whose
    conversation was erased in the meantime stay failed. A worker queues many.
    """
    hopeless = [code for code in ErrorCode.values if only_hopeful and not can_change(code)]
    with transaction.atomic():
        locked = Run.objects.select_for_update().get(pk=run.pk)
        kind = locked.get_kind_display().lower()
        if locked.state in {State.CANCELLING, State.CANCELLED}:
            raise UnableToChange(
                f"This {kind} was canceled. Start a new one to retry the failures."
            )
        if locked.retry_without is not None:
            raise UnableToChange("Its failed items are being queued again.")
        count = _begin_retry(locked, without=hopeless)
        if not count:
            raise UnableToChange(f"This {kind} has no failures to retry.")
        if count > RETRY_BATCH:
            starting.freeze_soon()
        starting.start_work(locked)
        audit.record(
            by=by, verb=f"{run.kind}.retried", target=run.public_id, detail={"items": count}
        )
    run.refresh_from_db()
    return count


def _move(
    run: Run,
    by: Actor,
    done: str,
    *,
    to: State,
    allowed: Sequence[State],
    reason: str = "",
    **changes: Any,
) -> None:
    """Compare and set the state: if two people click at the same time, the second gets an error."""
    with transaction.atomic():
        moved = Run.objects.filter(pk=run.pk, state__in=allowed).update(
            state=to, reason=reason, reason_detail="", resume_at=None, **changes
        )
        run.refresh_from_db()
        if not moved:
            kind, state = run.get_kind_display().lower(), run.get_state_display().lower()
            verb = done.replace("cancelled", "canceled")
            raise UnableToChange(f"This {kind} is {state}: it can’t be {verb}.")
        audit.record(by=by, verb=f"{run.kind}.{done}", target=run.public_id)


def _can_retry(run: Run, *, without: list[str]) -> RunItemQuerySet:
    """Return the failed items that can be queued again, but those with some error codes."""
    found = run.items.failed().filter(conversation__isnull=False)
    return found.exclude(error_code__in=without)


def _begin_retry(run: Run, *, without: list[str]) -> int:
    """Queue failed items of a locked run again, or mark the run for workers that do; how many."""
    run.retried = _can_retry(run, without=without).count()
    if not run.retried:
        return 0
    run.retried_at = timezone.now()
    if run.retried <= RETRY_BATCH:
        _queue_again(_can_retry(run, without=without))
    else:
        run.retry_without = without
    if run.state == State.COMPLETED:
        run.state, run.finished_at, run.reason = State.RUNNING, None, ""
        run.resumed_at = run.retried_at
    run.save(
        update_fields=[
            *("state", "finished_at", "reason", "retried", "retried_at", "resumed_at"),
            "retry_without",
        ]
    )
    return run.retried


@transaction.atomic
def retry_batch(run: Run) -> bool:
    """Queue the next failed items of a run again. Return whether there are more to queue here."""
    now = Run.objects.retrying().filter(pk=run.pk).select_for_update(no_key=True, skip_locked=True)
    if not (locked := now.first()) or locked.retry_without is None:
        return False
    found = _can_retry(locked, without=locked.retry_without).filter(
        finished_at__lte=locked.retried_at
    )
    last = found.order_by("pk").values_list("pk", flat=True)[RETRY_BATCH - 1 : RETRY_BATCH].first()
    _queue_again(found if last is None else found.filter(pk__lte=last))
    if last is None:
        locked.retry_without = None
        locked.save(update_fields=["retry_without"])
    return last is not None


def _queue_again(items: RunItemQuerySet) -> None:
    items.update(
        state="pending",
        analysis=None,
        error_code="",
        error_message="",
        finished_at=None,
        not_before=None,
        changed=None,
        tries=0,
    )

"""Queue failed items again: at once where they are few, else in batches, in a worker.

Items that had failed by the moment of the click are queued again. Each batch is a transaction of
its own, and the next one finds only the rest, so that a worker that stops leaves nothing behind.
"""

from django.db import transaction
from django.utils import timezone

from .models import Run, RunItemQuerySet, State

BATCH = 10_000
"""Items that a transaction queues again, and the most that a click queues at once."""


def waiting(run: Run, *, without: list[str]) -> RunItemQuerySet:
    """Return the failed items that can be queued again, but those with some error codes."""
    found = run.items.failed().filter(conversation__isnull=False)
    return found.exclude(error_code__in=without)


def begin(run: Run, *, without: list[str]) -> int:
    """Queue failed items of a locked run again, or mark the run for workers that do; how many."""
    run.retried = waiting(run, without=without).count()
    if not run.retried:
        return 0
    run.retried_at = timezone.now()
    if run.retried <= BATCH:
        _queue(waiting(run, without=without))
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
def queue_batch(run: Run) -> bool:
    """Queue the next failed items of a run again. Return whether there are more to queue here."""
    now = Run.objects.retrying().filter(pk=run.pk).select_for_update(no_key=True, skip_locked=True)
    if not (locked := now.first()) or locked.retry_without is None:
        return False
    found = waiting(locked, without=locked.retry_without).filter(finished_at__lte=locked.retried_at)
    last = found.order_by("pk").values_list("pk", flat=True)[BATCH - 1 : BATCH].first()
    _queue(found if last is None else found.filter(pk__lte=last))
    if last is None:
        locked.retry_without = None
        locked.save(update_fields=["retry_without"])
    return last is not None


def _queue(items: RunItemQuerySet) -> None:
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

"""The work of runs that ask no model: a batch of items, done and marked in one transaction.

A batch locks its items and their conversations, and one of the slots of its run, so that no run
takes more of the database than that many batches at a time, however many workers there are. A
worker that stops in the middle leaves nothing behind, and the sweep continues with the next batch.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile

from django.db import connection, transaction
from django.utils import timezone

from apps.core.database import is_passing
from apps.core.log_context import log_context
from apps.core.tasks import send
from apps.llm.errors import ErrorCode

from .closing import close_finished
from .derived.work import recompute_batch
from .mappings.work import apply_batch
from .models import ItemState, Kind, Run, RunItem, State
from .rollbacks.work import restore_batch
from .starting import DO_BATCHES, SLOTS

logger = logging.getLogger(__name__)

Work = Callable[[Run, Sequence[int]], None]
"""Do the locked items of a run, by their ids, and mark each as done or skipped."""

WORK: Mapping[str, Work] = {
    Kind.ROLLBACK: restore_batch,
    Kind.MAPPING: apply_batch,
    Kind.DERIVED: recompute_batch,
}

BATCH = 1_000
"""Items per transaction: short enough that other writers of these conversations hardly wait."""
SECONDS = 2.0
"""A task ends after this time and sends itself again, so that a worker can stop soon."""


def work_waits() -> bool:
    """Return whether a run without a model has anything to do."""
    return Run.objects.without_model().claimable().exists()


def run_batches(*, seconds: float = SECONDS) -> None:
    """Do batches of all runs in turn until nothing is left that is not locked, or time is up."""
    until = time.monotonic() + seconds
    while True:
        runs = list(Run.objects.without_model().claimable().order_by("pk"))
        done = [_do_named(run) for run in runs]
        if not any(done):
            close_finished()
            return
        if time.monotonic() >= until:
            send(DO_BATCHES, queue=None, kwargs={})
            return


def _do_named(run: Run) -> int:
    with log_context({"run_id": run.public_id}):
        return do_batch(run)


def do_batch(run: Run) -> int:
    """Do the next items of a run; how many. 0 where another worker has it or nothing is left."""
    if run.state == State.QUEUED:
        Run.objects.filter(pk=run.pk, state=State.QUEUED).update(
            state=State.RUNNING, started_at=timezone.now()
        )
    try:
        return _do(run, BATCH)
    except Exception as error:  # whatever one item breaks, the others are done
        if is_passing(error):
            raise
        logger.warning("A batch of %s failed, trying one by one", run.public_id)
    return sum(takewhile(bool, (_do_one(run) for _ in range(BATCH))))


def _do(run: Run, limit: int) -> int:
    with transaction.atomic():
        items = _pick(run, limit) if _take_slot(run) else []
        if items:
            WORK[run.kind](run, items)
        return len(items)


def _do_one(run: Run) -> int:
    """Do the next item alone; where it can't be done, it fails and the run continues."""
    with transaction.atomic():
        items = _pick(run, 1) if _take_slot(run) else []
        try:
            with transaction.atomic():
                WORK[run.kind](run, items)
        except Exception as error:
            if is_passing(error):
                raise
            logger.exception("An item of %s can't be done", run.public_id)
            RunItem.objects.filter(pk__in=items).update(
                state=ItemState.FAILED, error_code=ErrorCode.INTERNAL, finished_at=timezone.now()
            )
        return len(items)


_SLOT = " OR ".join(["pg_try_advisory_xact_lock(hashtextextended(%s, 0))"] * SLOTS)


def _take_slot(run: Run) -> bool:
    """Take a free slot of a run until the end of the transaction, unless the run was stopped.

    The run itself is not locked: pausing it waits for no batch, and closing it sees the items of
    one as unfinished.
    """
    slots = [f"batch {slot} of {run.public_id}" for slot in range(SLOTS)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT state IN ('queued', 'running') AND"  # noqa: S608 (a constant)
            f" ({_SLOT}) FROM runs_run WHERE id = %s",
            [*slots, run.pk],
        )
        found = cursor.fetchone()
        return bool(found and found[0])


_PICK = """
SELECT i.id FROM runs_runitem i
JOIN conversations_conversation c ON c.id = i.conversation_id
WHERE i.run_id = %s AND i.state = 'pending'
ORDER BY i.id LIMIT %s FOR UPDATE OF i SKIP LOCKED FOR NO KEY UPDATE OF c SKIP LOCKED
"""


def _pick(run: Run, limit: int) -> list[int]:
    """Lock pending items and their conversations; what another writer holds comes later."""
    with connection.cursor() as cursor:
        cursor.execute(_PICK, [run.pk, limit])
        return [pk for (pk,) in cursor.fetchall()]

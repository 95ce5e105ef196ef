"""Write the list of a run: at once where it is short, else in batches, in a worker.

A batch looks at the conversations of a range of keys and commits its items with how far it came,
so that a worker that stops leaves nothing behind. It commits only if the run is still to be
frozen. A run never gets more items than were agreed to, whatever has changed since (decision 0052).
"""

import logging
import time

from django.db import connection, transaction

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.agents.models import AnalysisConfig
from apps.conversations.models import Conversation
from apps.core.errors import UserError
from apps.core.tasks import enqueue, send

from .closing import close_finished
from .erasure import keep_erasures_out
from .lanes import wake_runners
from .models import Run, State
from .options import read_options
from .selection import Chosen, Reading, candidates, choose

logger = logging.getLogger(__name__)

TASK = "runs.freeze"
AT_ONCE = 5_000
"""Items that the request that saves writes itself: in some 100 ms."""
BATCH = 50_000
"""Conversations that a transaction looks at, and the longest list that is written in one."""
SECONDS = 5.0
"""A task ends after this time and sends itself again, so that a worker can stop soon."""


def freeze_soon() -> None:
    """Let a worker begin once the current transaction commits."""
    enqueue(TASK)


def freeze_now(run: Run, chosen: Chosen) -> None:
    """Write the whole list, in the caller's transaction, which has just made the run."""
    keep_erasures_out()
    _complete(run, chosen.freeze(run.pk, limit=run.total))
    run.save(update_fields=["frozen", "total", "freezing"])


def run_freezing(*, seconds: float = SECONDS) -> None:
    """Write batches of all freezing runs in turn until none is left, or time is up."""
    until = time.monotonic() + seconds
    while True:
        more = [freeze_batch(run) for run in Run.objects.freezing().order_by("pk")]
        if not any(more):
            return
        if time.monotonic() >= until:
            send(TASK, queue=None, kwargs={})
            return


def freeze_batch(run: Run) -> bool:
    """Write the next items of a run. Return whether there are more to write here."""
    try:
        with transaction.atomic():
            return _freeze_batch(run)
    except UserError as error:
        # A field of the filters was deleted since they were agreed to.
        logger.warning("%s cannot be frozen: %s", run.public_id, error.message)
        _give_up(run, error.message)
        return False


def _freeze_batch(run: Run) -> bool:
    if not _is_mine(run):
        return False
    run.refresh_from_db()
    if not run.freezing:
        return False
    keep_erasures_out()
    chosen, reached = _next(run)
    written = run.frozen + chosen.freeze(run.pk, limit=run.total - run.frozen)
    run.frozen_from = reached
    if reached is None or written >= run.total:
        _complete(run, written)
        wake_runners(run.options)
    else:
        run.frozen = written
    names = ("frozen", "frozen_from", "total", "freezing")
    changes = {name: getattr(run, name) for name in names}
    if not Run.objects.freezing().filter(pk=run.pk).update(**changes):
        transaction.set_rollback(True)  # it was canceled in the meantime
        return False
    return run.freezing


def _complete(run: Run, written: int) -> None:
    run.frozen = run.total = written
    run.freezing = False


def _is_mine(run: Run) -> bool:
    """Take the freezing of a run until the end of the transaction.

    The run itself is not locked: pausing or canceling it waits for no batch.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"freezing {run.public_id}"],
        )
        return bool(cursor.fetchone()[0])


def _next(run: Run) -> tuple[Chosen, int | None]:
    """Return what of the next range is taken, and the key it begins at; None for the last one."""
    options = read_options(run.options)
    found = candidates(run.channel, run.filters, run.as_of)
    reached = None
    # A sample of N is not made of samples of ranges.
    if run.total > BATCH and options.sample_count is None:
        keys = Conversation.objects.order_by("-pk").values_list("pk", flat=True)
        if run.frozen_from is not None:
            keys = keys.filter(pk__lt=run.frozen_from)
            found = found.filter(pk__lt=run.frozen_from)
        reached = keys[BATCH - 1 : BATCH].first()
        if reached is not None:
            found = found.filter(pk__gte=reached)
    return choose(found, frozen_readings(run), options), reached


def frozen_readings(run: Run) -> dict[str, Reading]:
    """Return how each route of a run is read, as agreed at Save."""
    names = {entry["config"] for entry in run.plan}
    rows = AnalysisConfig.objects.filter(sha256__in=names).values_list("sha256", "pk")
    configs = dict(rows)
    return {
        entry["route"]: Reading(configs[entry["config"]], entry["agent_version"], entry["longest"])
        for entry in run.plan
    }


def _give_up(run: Run, why: str) -> None:
    """Cancel a run whose list cannot be written; nothing of it was done."""
    with transaction.atomic():
        if Run.objects.freezing().filter(pk=run.pk).update(state=State.CANCELLING):
            audit.record(
                by=Actor.system("backfill"),
                verb="backfill.cancelled",
                target=run.public_id,
                detail={"why": why},
            )
    close_finished()

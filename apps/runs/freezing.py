"""Write long lists of runs in batches, in workers.

A batch writes the items of a range of keys, in one transaction with how far its slot came, so that
a worker that stops leaves nothing behind. It commits only if the run is still to be frozen. A run
never gets more items than were agreed to, whatever has changed since (decision 0052).
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.analysis.models import Analysis
from apps.conversations.models import Conversation
from apps.core.database import TooSlow, analyze_changed, time_limit
from apps.core.errors import UserError
from apps.core.tasks import send

from .closing import close_finished
from .control import retry_batch
from .derived.work import list_results
from .mappings.work import list_mappings
from .models import Kind, Run, RunItem, State
from .rollbacks.work import list_restores
from .selection import EVERY_KEY, Keys, list_candidates
from .starting import FREEZE, SLOTS, WriteList, has_ranges, keep_erasures_out, start_work

logger = logging.getLogger(__name__)

SECONDS = 5.0
"""A task ends after this time and sends itself again, so that a worker can stop soon."""
BATCH_SECONDS = 30.0
"""A range that takes longer, some 30 times as long as usual, is written in `PARTS`."""
PARTS = 10


@dataclass(frozen=True, slots=True)
class List:
    """How the list of a kind of run is made.

    ``write`` writes up to a number of items for a range of keys, and returns how many;
    ``source`` returns the rows that the keys are of.
    """

    write: WriteList
    source: Callable[[Run], QuerySet[Conversation] | QuerySet[RunItem]]


def _conversations(run: Run) -> QuerySet[Conversation]:
    return Conversation.objects.all()


def _undone_items(run: Run) -> QuerySet[RunItem]:
    return RunItem.objects.filter(run=run.of_id)


LISTS: Mapping[str, List] = {
    Kind.BACKFILL: List(list_candidates, _conversations),
    Kind.MAPPING: List(list_mappings, _conversations),
    Kind.DERIVED: List(list_results, _conversations),
    Kind.ROLLBACK: List(list_restores, _undone_items),
}


def run_freezing(*, seconds: float = SECONDS) -> None:
    """Write batches of all freezing runs in turn until none is left, or time is up.

    Failed items that are queued again are batches too.
    """
    until = time.monotonic() + seconds
    while True:
        more = [freeze_batch(run) for run in Run.objects.freezing().order_by("pk")]
        more += [_queue_again(run) for run in Run.objects.retrying().order_by("pk")]
        if not any(more):
            return
        if time.monotonic() >= until:
            send(FREEZE, queue=None, kwargs={})
            return


def _queue_again(run: Run) -> bool:
    more = retry_batch(run)
    start_work(run)
    return more


def freeze_batch(run: Run) -> bool:
    """Write the next items of a run. Return whether there are more to write here."""
    if not run.frozen:
        analyze_changed(Conversation, Analysis, RunItem)
    if run.frozen_from is None and has_ranges(run):
        unknown = Run.objects.freezing().filter(pk=run.pk, frozen_from=None)
        unknown.update(frozen_from=_last_key(run))
    try:
        with transaction.atomic():
            more = _freeze_batch(run)
        if more is None:  # two batches together found more than was agreed to
            with transaction.atomic():
                more = _freeze_batch(run, alone=True)
        return bool(more)
    except UserError as error:
        # A field of the filters was deleted since they were agreed to.
        logger.warning("%s cannot be frozen: %s", run.public_id, error.message)
        _give_up(run, error.message)
        return False


def _freeze_batch(run: Run, *, alone: bool = False) -> bool | None:
    """Write a batch in the caller's transaction; None, and nothing, where it finds too many.

    ``alone`` lets no other batch of the run commit in the meantime.
    """
    slot = _take_slot(run)
    if slot is None:
        return False
    if alone and (held := _lock(run)):
        run = held
    keep_erasures_out()
    keys, following = _next(run, slot)
    written = _write(run, keys, run.total - run.frozen) if keys else 0
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # not while the run is locked
    now = _lock(run)
    if now is None or now.frozen + written > now.total:
        transaction.set_rollback(True)
        return False if now is None else None  # None: it was canceled in the meantime
    now.frozen += written
    now.frozen_next[slot] = following
    if now.frozen == now.total or not any(n is not None for n in now.frozen_next):
        now.freezing, now.total = False, now.frozen
        start_work(now)
    now.save(update_fields=["frozen", "frozen_next", "total", "freezing"])
    return now.freezing


def _write(run: Run, keys: Keys, limit: int) -> int:
    """Write up to ``limit`` items of a range of keys, in parts where that takes too long."""
    write = LISTS[run.kind].write
    parts = keys.parts(PARTS)
    if not parts:
        return write(run, keys, limit)
    try:
        with time_limit(BATCH_SECONDS):
            return write(run, keys, limit)
    except TooSlow:
        logger.warning("%s: listing up to key %s takes too long", run.public_id, keys.high)
    written = 0
    for part in parts:
        written += _write(run, part, limit - written)
    return written


def _lock(run: Run) -> Run | None:
    """Lock a run that is to be frozen still: pausing or canceling it waits only for a commit."""
    return Run.objects.freezing().select_for_update(no_key=True).filter(pk=run.pk).first()


def _take_slot(run: Run) -> int | None:
    """Take a slot of a run until the end of the transaction, and load the run; None for none."""
    waiting = [(at, slot) for slot, at in enumerate(run.frozen_next) if at is not None]
    for _, slot in sorted(waiting):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))",
                [f"list {slot} of {run.public_id}"],
            )
            taken = cursor.fetchone()[0]
        if taken:
            run.refresh_from_db()
            if run.freezing and run.frozen_next[slot] is not None:
                return slot
    return None


def _next(run: Run, slot: int) -> tuple[Keys | None, int | None]:
    """Return the next range of a slot, and the number of the one after it; None for none.

    Ranges are numbered from the highest key down, and dealt to the slots in turn. Those without a
    row are passed over.
    """
    at, highest, size = run.frozen_next[slot], run.frozen_from, settings.FREEZE_BATCH
    if not has_ranges(run):
        return EVERY_KEY, None
    if highest is None or (key := _last_key(run, highest - at * size)) is None:
        return None, None
    first = (highest - key) // size
    number = first + (at - first) % SLOTS
    high = highest - number * size
    return Keys(high - size, high), number + SLOTS


def _last_key(run: Run, high: int | None = None) -> int | None:
    """Return the highest key of the rows of a list, up to one."""
    keys = Keys(None, high).of(LISTS[run.kind].source(run))
    return keys.order_by("-pk").values_list("pk", flat=True).first()


def _give_up(run: Run, why: str) -> None:
    """Cancel a run whose list cannot be written; nothing of it was done."""
    with transaction.atomic():
        if Run.objects.freezing().filter(pk=run.pk).update(state=State.CANCELLING):
            audit.record(
                by=Actor.system("backfill"),
                verb=f"{run.kind}.cancelled",
                target=run.public_id,
                detail={"why": why},
            )
    close_finished()

"""Start a run as it was agreed to: its token, its list, and the wake-up of its workers.

The token of a preview carries a hash of the question and the numbers. A start counts again, is
rejected where the run would do more than was shown, and returns the same run for a second click. A
short list is written at once, a long one by workers (`freezing`).
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from django.conf import settings
from django.core import signing
from django.db import connection, transaction

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.core.database import TooSlow, time_limit
from apps.core.errors import BadRequest, Example
from apps.core.tasks import enqueue

from .economy import steps
from .lanes import is_economy, wake_runners
from .models import Kind, Run
from .options import read_options
from .selection import EVERY_KEY, Keys

MAX_AGE_SECONDS = 24 * 3600
"""An estimate is valid for this many seconds."""
AT_ONCE = 5_000
"""Items that the request that starts a run writes itself: in some 100 ms."""
RECOUNT_SECONDS = 0.5
"""What counting again may take of the time of a click."""

FREEZE = "runs.freeze"
"""The task that writes long lists."""
DO_BATCHES = "runs.run_batches"
"""The task that does the work of runs without a model."""
SLOTS = 2
"""Ranges of a list that are written at a time, and batches of a run without a model."""

FREE_PER_SECOND = 5_000
"""Items of a run without a model done per second, as the benchmark measures them at the least."""

WriteList = Callable[[Run, Keys, int], int]
"""Write up to a number of items of a run for a range of keys; return how many."""
Counted = TypeVar("Counted")


class InvalidToken(BadRequest):
    """Raised for a token that Debrief did not issue, or that has expired."""

    code = "invalid_token"
    example = Example("This estimate has expired. Review the new one, then start again.")


def sign(data: Mapping[str, Any], *, kind: Kind) -> str:
    """Return a token of an estimate for one run of this kind, with a fresh ``nonce``."""
    return signing.dumps(
        {"nonce": secrets.token_hex(16), **data}, salt=f"runs.{kind.value}", compress=True
    )


def unsign(token: str, *, kind: Kind) -> dict[str, Any]:
    """Return the data of a token. Raises InvalidToken for an expired or foreign one."""
    try:
        data: dict[str, Any] = signing.loads(
            token, salt=f"runs.{kind.value}", max_age=MAX_AGE_SECONDS
        )
    except signing.BadSignature:
        raise InvalidToken from None
    return data


def question_hash(channel: str, filters: Mapping[str, Sequence[str]], *options: object) -> str:
    """Return a hash of what a form asks for, so that a token counts for nothing else."""
    normal = {name: sorted(values) for name, values in sorted(filters.items())}
    text = json.dumps([channel, normal, *options], default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def recount(count: Callable[[], Counted], agreed: int | None) -> Counted | None:
    """Count again how many items a run would have; None where that takes longer than a click may.

    The run then keeps to the agreed numbers. Few items, or None for no agreement, are counted
    however long it takes.
    """
    if agreed is None or agreed <= AT_ONCE:
        return count()
    try:
        with time_limit(RECOUNT_SECONDS):
            return count()
    except TooSlow:
        return None


def free_estimate(items: int) -> dict[str, Any]:
    """Return the estimate of a run without a model: neither tokens nor cost."""
    nothing = dict.fromkeys(("cost", "cost_low", "cost_high"), "0")
    seconds = round(items / FREE_PER_SECOND, 1)
    return {"input_tokens": 0, "output_tokens": 0, **nothing, "seconds": seconds}


def begin_once(
    nonce: str | None,
    fields: Mapping[str, Any],
    *,
    by: Actor,
    verb: str,
    detail: Callable[[Run], Mapping[str, Any]],
    write: Callable[[Run], None],
) -> Run:
    """Make a run and write its list; with the nonce of a run that exists, return that one.

    ``nonce`` is that of the agreed preview, ``detail`` returns what the audit log says of it, and
    ``write`` writes its items, as `begin_list` does.
    """
    fields = {**fields, "created_by": by.label}
    nonce = nonce or secrets.token_hex(16)
    with transaction.atomic(savepoint=False):
        run, created = Run.objects.get_or_create(save_token=nonce, defaults=fields)
        if created:
            write(run)
            audit.record(by=by, verb=verb, target=run.public_id, detail=dict(detail(run)))
    return run


def begin_list(run: Run, *, write: WriteList) -> None:
    """Write the list of a new run, or let workers do it where it is long.

    In the transaction that makes the run, with the agreed number of items as its total.
    """
    if run.total <= AT_ONCE:
        keep_erasures_out()
        run.total = run.frozen = write(run, EVERY_KEY, run.total)
        start_work(run)
    else:
        run.freezing = True
        run.frozen_next = list(range(SLOTS if has_ranges(run) else 1))
        freeze_soon()
    run.save(update_fields=["total", "frozen", "freezing", "frozen_next"])


def start_work(run: Run) -> None:
    """Let workers take items of a run once the current transaction commits."""
    if run.asks_model:
        wake_runners(run.options)
        if is_economy(run.options):
            steps.ship_soon()
    else:
        do_batches_soon()


def freeze_soon() -> None:
    """Let workers write lists and queue failed items again once the current transaction commits."""
    for _ in range(SLOTS):
        enqueue(FREEZE)


def do_batches_soon() -> None:
    """Let workers do batches once the current transaction commits."""
    for _ in range(SLOTS):
        enqueue(DO_BATCHES)


def has_ranges(run: Run) -> bool:
    """Return whether a list is written range by range: a sample of N is not made of samples."""
    is_sample = run.kind == Kind.BACKFILL and read_options(run.options).sample_count is not None
    return run.total > settings.FREEZE_BATCH and not is_sample


_KEY = "conversations of run items"


def keep_erasures_out() -> None:
    """Let erasures wait until the current transaction has written its items.

    Items have no foreign key to their conversations. With this lock, an erasure finds every item
    that was written, and no item is written for a conversation that is gone.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(hashtextextended(%s, 0))", [_KEY])


def keep_new_items_out() -> None:
    """Let writers of items wait until the current transaction has deleted its conversations."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [_KEY])

"""How far a run is: counts of *finished* work, never of scheduled work.

Those of a run are sums of what changed in its items (`ItemTally`), read as fast for a million
items as for ten. A test run, of at most fifty, counts its items.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Q, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from .models import ItemState, ItemTally, Run, RunItem, State

#: The rate is that of the shortest window in which enough was done: a slower model shows soon,
#: and a slow one does not make the time that is left jump with each answer.
RATE_WINDOWS_SECONDS = (15.0, 60.0, 300.0)
ENOUGH = 20
#: The announced pace counts like so many answers: the first ones do not overturn it.
PRIOR = 4


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of a run. ``done`` is ``changed`` and ``unchanged`` together; the rest is disjoint.

    ``rate`` is items done per second recently, without failures. ``seconds_left`` is None while
    the run isn't running. ``cost`` is the amount paid so far, None if a price is unknown.
    """

    total: int
    pending: int
    running: int
    done: int
    changed: int
    skipped: int
    failed: int
    cost: Decimal | None
    input_tokens: int
    output_tokens: int
    rate: float

    @property
    def unchanged(self) -> int:
        return self.done - self.changed

    @property
    def finished(self) -> int:
        return self.done + self.skipped + self.failed

    @property
    def left(self) -> int:
        return self.total - self.finished

    @property
    def is_over(self) -> bool:
        return not (self.pending or self.running)

    @property
    def share(self) -> float:
        """Share of finished work, 0 to 1."""
        return self.finished / self.total if self.total else 1.0

    @property
    def seconds_left(self) -> float | None:
        if not self.left:
            return 0.0
        return self.left / self.rate if self.rate else None

    def counts(self) -> dict[str, int]:
        """As the API names them."""
        return {
            "total": self.total,
            "done": self.done,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "skipped": self.skipped,
            "failed": self.failed,
            "running": self.running,
            "pending": self.pending,
        }


def progress_of(run: Run) -> Progress:
    """The counts of a run."""
    return progress_of_each([run])[run.pk]


def progress_of_items(run: Run, items: Iterable[RunItem]) -> Progress:
    """Return the counts of a test run from its items; they are deleted with conversations."""
    rows = list(items)
    states = Counter(item.state for item in rows)
    unpriced = any(item.cost is None and item.input_tokens > 0 for item in rows)
    done = states[ItemState.DONE]
    return Progress(
        total=len(rows),
        pending=states[ItemState.PENDING],
        running=states[ItemState.RUNNING],
        done=done,
        changed=0,
        skipped=states[ItemState.SKIPPED],
        failed=states[ItemState.FAILED],
        cost=None if unpriced else sum((item.cost or Decimal(0) for item in rows), Decimal(0)),
        input_tokens=sum(item.input_tokens for item in rows),
        output_tokens=sum(item.output_tokens for item in rows),
        rate=0.0 if run.is_active else _whole_rate(run, done),
    )


def progress_of_each(runs: Sequence[Run]) -> dict[int, Progress]:
    """The counts of some runs by their keys, in one query for all; no test runs."""
    rows = ItemTally.objects.filter(run__in=runs).order_by().values("run")
    now = timezone.now()
    windows = {
        name: _sum(column, Q(at__gt=now - timedelta(seconds=seconds)))
        for column, names in (("answered", _WINDOWS), ("done", _WINDOWS_WITHOUT_MODEL))
        for name, seconds in names.items()
    }
    sums = {row["run"]: row for row in rows.annotate(**_SUMS, **windows)}
    nothing = dict.fromkeys((*_SUMS, *windows), 0)
    return {run.pk: _progress(run, sums.get(run.pk, nothing)) for run in runs}


def _sum(column: str, condition: Q | None = None) -> Coalesce:
    return Coalesce(Sum(column, filter=condition), 0)


_WINDOWS = {f"answered_{seconds:.0f}": seconds for seconds in RATE_WINDOWS_SECONDS}
_WINDOWS_WITHOUT_MODEL = {f"done_{seconds:.0f}": seconds for seconds in RATE_WINDOWS_SECONDS}
_COUNTS = ("running", "done", "changed", "skipped", "failed")
_SUMS: dict[str, Any] = {
    **{f"{name}_ones": _sum(name) for name in (*_COUNTS, "unpriced")},
    "paid": Sum("cost"),
    "input": _sum("input_tokens"),
    "output": _sum("output_tokens"),
}

_JOIN = """
WITH old AS (
  DELETE FROM runs_itemtally WHERE at < %(until)s AND run_id IN (
    SELECT run_id FROM runs_itemtally WHERE at < %(until)s
    GROUP BY run_id HAVING count(*) > %(rows)s
  )
  RETURNING *
)
INSERT INTO runs_itemtally (run_id, at, running, done, changed, skipped, failed, answered, cost,
  unpriced, input_tokens, output_tokens)
SELECT run_id, max(at), sum(running), sum(done), sum(changed), sum(skipped), sum(failed),
  sum(answered), sum(cost), sum(unpriced), sum(input_tokens), sum(output_tokens)
FROM old GROUP BY run_id
"""
FEW_TALLIES = 50
"""Rows of a run that are not worth joining."""


def join_tallies() -> None:
    """Join those of a run that are older than any rate looks back, once they are many."""
    until = timezone.now() - timedelta(seconds=2 * RATE_WINDOWS_SECONDS[-1])
    with connection.cursor() as cursor:
        cursor.execute(_JOIN, {"until": until, "rows": FEW_TALLIES})


def _progress(run: Run, row: Mapping[str, Any]) -> Progress:
    running, done, failed = row["running_ones"], row["done_ones"], row["failed_ones"]
    skipped = row["skipped_ones"]
    # What has no tally waits. The items of a canceled run do not, and count as skipped.
    waiting = run.total - running - done - skipped - failed
    if run.skips_pending:
        waiting, skipped = 0, skipped + waiting
    return Progress(
        total=run.total,
        pending=waiting,
        running=running,
        done=done,
        changed=row["changed_ones"],
        skipped=skipped,
        failed=failed,
        cost=None if row["unpriced_ones"] else (row["paid"] or Decimal(0)),
        input_tokens=row["input"],
        output_tokens=row["output"],
        rate=_recent_rate(run, row) if run.is_active else _whole_rate(run, done),
    )


def _recent_rate(run: Run, row: Mapping[str, Any]) -> float:
    """Return the items done per second in the shortest window with enough of them.

    The announced pace dampens it. It is 0 while a run isn't running.
    """
    if run.state != State.RUNNING or run.started_at is None:
        return 0.0
    moving = (timezone.now() - (run.resumed_at or run.started_at)).total_seconds()
    for name, seconds in (_WINDOWS if run.asks_model else _WINDOWS_WITHOUT_MODEL).items():
        window, done = min(max(moving, 1.0), seconds), row[name]
        if done >= ENOUGH or window < seconds:
            break
    announced = run.total / max(run.estimate.get("seconds") or 0.0, 0.001)
    if done >= ENOUGH or not run.estimate.get("seconds"):
        return float(done / window)
    return float((done + PRIOR) / (window + PRIOR / announced))


def _whole_rate(run: Run, done: int) -> float:
    """Of a run that has ended: items a second over its whole life."""
    if run.started_at is None or run.finished_at is None:
        return 0.0
    seconds = (run.finished_at - run.started_at).total_seconds()
    return float(done / max(seconds, 0.001))

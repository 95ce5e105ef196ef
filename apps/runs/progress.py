"""How far a run is, read from its items: counts of *finished* work, never of scheduled work."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from .models import ItemState, Kind, Run, RunItem, State

#: The rate is that of the shortest window in which enough was done: a slower model shows soon,
#: and a slow one does not make the time that is left jump with each answer.
RATE_WINDOWS_SECONDS = (15.0, 60.0, 300.0)
ENOUGH = 20
#: The announced pace counts like so many answers: the first ones do not overturn it.
PRIOR = 4


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of a run. ``done`` is ``changed`` and ``unchanged`` together; the rest is disjoint.

    ``rate`` is items done per second recently; failures are no speed. ``seconds_left`` is None
    where nothing moves. ``cost`` is what was paid so far, None where a price is unknown.
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
    """The counts of a run, in one pass over its items."""
    return progress_of_each([run])[run.pk]


def progress_of_items(run: Run, items: Iterable[RunItem]) -> Progress:
    """Return the counts of a run whose items are loaded already."""
    rows = list(items)
    row: dict[str, Any] = dict.fromkeys((*_WINDOWS, *_SUMS), 0)
    return _progress(
        run,
        row
        | Counter(item.state for item in rows)
        | {
            "paid": sum((item.cost or Decimal(0) for item in rows), Decimal(0)),
            "unpriced": sum(item.cost is None and item.input_tokens > 0 for item in rows),
            "input": sum(item.input_tokens for item in rows),
            "output": sum(item.output_tokens for item in rows),
        },
    )


def progress_of_each(runs: Sequence[Run]) -> dict[int, Progress]:
    """The counts of some runs by their keys, in one query for all."""
    rows = RunItem.objects.filter(run__in=runs).order_by().values("run")
    now = timezone.now()
    done_within = {
        name: Count(
            "pk",
            filter=Q(state=ItemState.DONE)
            & (Q(input_tokens__gt=0) | Q(run__in=[run.pk for run in runs if not run.asks_model]))
            & Q(finished_at__gt=now - timedelta(seconds=seconds)),
        )
        for name, seconds in _WINDOWS.items()
    }
    sums = {row["run"]: row for row in rows.annotate(**_SUMS, **done_within)}
    nothing = dict.fromkeys((*_SUMS, *done_within), 0)
    return {run.pk: _progress(run, sums.get(run.pk, nothing)) for run in runs}


_WINDOWS = {f"done_{seconds:.0f}": seconds for seconds in RATE_WINDOWS_SECONDS}
_SUMS: dict[str, Any] = {
    "pending": Count("pk", filter=Q(state=ItemState.PENDING)),
    "running": Count("pk", filter=Q(state=ItemState.RUNNING)),
    "done": Count("pk", filter=Q(state=ItemState.DONE)),
    "changed_ones": Count("pk", filter=Q(changed=True)),
    "skipped": Count("pk", filter=Q(state=ItemState.SKIPPED)),
    "failed": Count("pk", filter=Q(state=ItemState.FAILED)),
    "paid": Sum("cost"),
    "unpriced": Count("pk", filter=Q(cost=None, input_tokens__gt=0)),
    "input": Coalesce(Sum("input_tokens"), 0),
    "output": Coalesce(Sum("output_tokens"), 0),
}


def _progress(run: Run, row: Mapping[str, Any]) -> Progress:
    # Items of a trial are deleted with their conversations. Those of a backfill stay counted.
    left = sum(row[state] for state in ItemState.values)
    pending, skipped = row["pending"], row["skipped"]
    # Some items are not written yet, or never will be.
    if run.skips_pending:
        pending, skipped = 0, run.total - row["running"] - row["done"] - row["failed"]
    elif run.freezing:
        pending = run.total
    return Progress(
        total=left if run.kind == Kind.TRIAL else run.total,
        pending=pending,
        running=row["running"],
        done=row["done"],
        changed=row["changed_ones"],
        skipped=skipped,
        failed=row["failed"],
        cost=None if row["unpriced"] else (row["paid"] or Decimal(0)),
        input_tokens=row["input"],
        output_tokens=row["output"],
        rate=_recent_rate(run, row) if run.is_active else _whole_rate(run, row),
    )


def _recent_rate(run: Run, row: Mapping[str, Any]) -> float:
    """Items done per second in the shortest window that holds enough of them, tempered by the
    pace that was announced. Nothing moves while a run stands."""
    if run.state != State.RUNNING or run.started_at is None:
        return 0.0
    moving = (timezone.now() - (run.resumed_at or run.started_at)).total_seconds()
    for name, seconds in _WINDOWS.items():
        window, done = min(max(moving, 1.0), seconds), row[name]
        if done >= ENOUGH or window < seconds:
            break
    announced = run.total / max(run.estimate.get("seconds") or 0.0, 0.001)
    if done >= ENOUGH or not run.estimate.get("seconds"):
        return float(done / window)
    return float((done + PRIOR) / (window + PRIOR / announced))


def _whole_rate(run: Run, row: Mapping[str, Any]) -> float:
    """Of a run that has ended: items a second over its whole life."""
    if run.started_at is None or run.finished_at is None:
        return 0.0
    seconds = (run.finished_at - run.started_at).total_seconds()
    return float(row["done"] / max(seconds, 0.001))

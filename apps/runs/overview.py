"""What the pages list: runs with their counts, failures by cause, items with their filter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Q, Sum
from django.http import QueryDict

from apps.core.pagination import CursorError, Page, page
from apps.llm.errors import ErrorCode

from .models import ItemState, Run, RunItem
from .progress import Progress, failures_of
from .remedies import remedy
from .words import Asked, asked_filters, state_label

PER_PAGE = 50

#: The filter of the items: its name in the address, its label, its rows.
_STATES: dict[str, tuple[str, Q]] = {
    "changed": ("Changed", Q(state=ItemState.DONE, changed=True)),
    "unchanged": ("Unchanged", Q(state=ItemState.DONE, changed=False)),
    "failed": ("Failed", Q(state=ItemState.FAILED)),
    "skipped": ("Skipped", Q(state=ItemState.SKIPPED)),
    "left": ("Waiting", Q(state__in=[ItemState.PENDING, ItemState.RUNNING])),
}


@dataclass(frozen=True, slots=True)
class Line:
    """A run in the list. ``cost`` is None where a price is unknown."""

    run: Run
    done: int
    failed: int
    skipped: int
    cost: Decimal | None
    asked: Sequence[Asked] = ()

    @property
    def state(self) -> tuple[str, str]:
        """Kind and label of the run's state; one with failures does not look like a success."""
        return state_label(self.run, self.failed)

    @property
    def finished(self) -> int:
        return self.done + self.failed + self.skipped

    @property
    def expected(self) -> Decimal | None:
        cost = self.run.estimate.get("cost")
        return None if cost is None else Decimal(cost)

    @property
    def is_free(self) -> bool:
        return self.run.is_free and not self.cost


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """One cause of failure: how often, in words, and an item as its example."""

    code: str
    count: int
    label: str
    example: RunItem

    @property
    def remedy(self) -> str:
        """What helps where a retry would only repeat the failure."""
        return remedy(self.code)


@dataclass(frozen=True, slots=True)
class Tab:
    """One filter of the items table."""

    name: str
    label: str
    count: int
    here: bool


@dataclass(frozen=True, slots=True)
class ItemPage:
    """Items under a filter. ``state`` and ``code`` are empty for all."""

    items: Sequence[RunItem]
    state: str
    code: str
    next_cursor: str | None
    previous_cursor: str | None
    problem: str = ""

    @property
    def code_label(self) -> str:
        return str(ErrorCode(self.code).label) if self.code else ""


def overviews(runs: Sequence[Run]) -> list[Line]:
    """The runs with their counts and filters, in two queries for all of them."""
    rows = (
        RunItem.objects.filter(run__in=runs)
        .order_by()
        .values("run")
        .annotate(
            done=Count("pk", filter=Q(state=ItemState.DONE)),
            failed=Count("pk", filter=Q(state=ItemState.FAILED)),
            skipped=Count("pk", filter=Q(state=ItemState.SKIPPED)),
            unpriced=Count("pk", filter=Q(cost=None, input_tokens__gt=0)),
            paid=Sum("cost"),
        )
    )
    counts: dict[int, Mapping[str, Any]] = {row["run"]: row for row in rows}
    asked = asked_filters(runs)
    return [_line(run, counts.get(run.pk, {}), asked[run.pk]) for run in runs]


def _line(run: Run, row: Mapping[str, Any], asked: Sequence[Asked]) -> Line:
    return Line(
        run=run,
        done=row.get("done", 0),
        failed=row.get("failed", 0),
        skipped=row.get("skipped", 0),
        cost=None if row.get("unpriced") else (row.get("paid") or Decimal(0)),
        asked=asked,
    )


def failure_groups(run: Run) -> list[FailureGroup]:
    """What failed, by cause, most first, each with its first item that was not erased."""
    examples = {
        item.error_code: item
        for item in run.items.failed()
        .select_related("conversation")
        .order_by("error_code", F("conversation").asc(nulls_last=True), "pk")
        .distinct("error_code")
    }
    return [
        FailureGroup(code, count, _label(code), examples[code])
        for code, count in failures_of(run).items()
        if code in examples
    ]


def failed_again(run: Run) -> int:
    """Return how many of the items that were last retried failed once more."""
    if run.retried_at is None or run.is_active:
        return 0
    again = run.items.failed().filter(finished_at__gte=run.retried_at).count()
    return min(again, run.retried)  # retried in mid-run, others may have failed since


def item_page(run: Run, params: QueryDict) -> ItemPage:
    """The items that the address asks for, the newest conversation first.

    A filter or cursor that is not known shows nothing, and says so.
    """
    state, code = params.get("state", ""), params.get("code", "")
    if state not in {"", *_STATES}:
        return ItemPage([], "", "", None, None, f"There is no state “{state}” of items.")
    if code not in {"", *ErrorCode.values}:
        return ItemPage([], state, "", None, None, f"There is no error code “{code}”.")
    rows = run.items.select_related("conversation__agent")
    rows = rows.filter(_STATES[state][1]) if state else rows
    rows = rows.filter(error_code=code) if code else rows
    found: Page[RunItem] = Page([], None, None)
    problem = ""
    try:
        cursor = params.get("cursor") or None
        found = page(rows, order=["pk"], cursor=cursor, limit=PER_PAGE)
    except CursorError as error:
        problem = error.message
    return ItemPage(found.items, state, code, found.next_cursor, found.previous_cursor, problem)


def item_tabs(progress: Progress, shown: ItemPage) -> list[Tab]:
    """The filters of the items with their counts; those of nothing are left out."""
    counts = {
        "changed": progress.changed,
        "unchanged": progress.unchanged,
        "failed": progress.failed,
        "skipped": progress.skipped,
        "left": progress.left,
    }
    tabs = [Tab("", "All", progress.total, not shown.state and not shown.problem)]
    tabs += [
        Tab(name, label, counts[name], shown.state == name)
        for name, (label, _) in _STATES.items()
        if counts[name] or shown.state == name
    ]
    return tabs


def _label(code: str) -> str:
    return str(ErrorCode(code).label) if code in ErrorCode.values else code

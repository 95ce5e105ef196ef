"""The report of a run as its page shows it: lines with labels, bars, and links."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from apps.core.display import compact, money, number, one_line, timespan
from apps.llm.ledger import tiers_of_run

from .changes import ChangeFilter, Span
from .lanes import TIERS
from .models import Run, RunItem
from .options import LABELS, STANDARD
from .progress import Progress
from .report import FieldReport, Transition, report_of

LINES = 12
"""Changes of a field that are listed, the most frequent first."""


@dataclass(frozen=True, slots=True)
class Line:
    """One count with the address of its conversations; ``after`` is empty for a single value.

    ``example_href`` leads to one of them, whose public ID is ``example``.
    """

    label: str
    after: str
    count: int
    href: str
    example: str = ""
    example_href: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """One value of a distribution: how many had it before and after."""

    label: str
    before: int
    after: int
    before_href: str = ""
    after_href: str = ""


@dataclass(frozen=True, slots=True)
class FieldPanel:
    """One field of the report."""

    report: FieldReport
    changed_href: str
    unchanged_href: str
    example_href: str
    lines: Sequence[Line]
    bars: Sequence[Bar]
    highest: int

    @property
    def facts(self) -> Sequence[tuple[str, str, str]]:
        """Return mean and median before and after, of a number field."""
        if self.report.numbers is None:
            return ()
        before, after = self.report.numbers
        return [
            ("Mean", _number(before.mean), _number(after.mean)),
            ("Median", _number(before.median), _number(after.median)),
        ]


def _number(value: float | None) -> str:
    return "–" if value is None else str(number(round(value, 2)))


def panels(run: Run) -> list[FieldPanel]:
    """Return the fields that have a value before or after the run, the most changed first."""
    base = reverse("runs:detail", args=[run.public_id])
    shown = [one for one in report_of(run) if _has_values(one)]
    examples = _examples(shown)
    return [_panel(base, run, one, examples) for one in shown]


def _examples(reports: Sequence[FieldReport]) -> dict[int, str]:
    """Return the conversation of each example, by the key of its item."""
    keys = {t.example for one in reports for t in one.transitions[:LINES]}
    keys |= {one.example for one in reports if one.example}
    rows = RunItem.objects.filter(pk__in=keys).exclude(conversation=None)
    return dict(rows.values_list("pk", "conversation__public_id")) if keys else {}


def _has_values(one: FieldReport) -> bool:
    return any(value != "null" for value in (*one.before, *one.after)) or bool(one.changed)


def href(base: str, change: ChangeFilter) -> str:
    """Return the address of the items behind a count."""
    return f"{base}?{urlencode(change.params())}#items-section"


def value_label(value: str | Span) -> str:
    """Return a JSON value, or a span of numbers, in words."""
    if isinstance(value, Span):
        return f"{_number(value.low)}–{_number(value.high)}"
    read = json.loads(value)
    if read is None:
        return "not set"
    return one_line(read)[:80]


def change_words(change: ChangeFilter) -> str:
    """Return the filter by what a run changed, in words, without the name of the field."""
    sides = [
        "any" if value is None else value_label(value) for value in (change.before, change.after)
    ]
    kind = {"changed": "changed", "unchanged": "unchanged", "value": "is"}[change.kind]
    return kind if sides == ["any", "any"] else f"{kind}: {' → '.join(sides)}"


def _panel(base: str, run: Run, one: FieldReport, examples: Mapping[int, str]) -> FieldPanel:
    example = examples.get(one.example or 0, "")
    bars = _bins(base, one) if one.numbers else _values(base, one)
    return FieldPanel(
        report=one,
        changed_href=href(base, one.link("changed")) if one.changed else "",
        unchanged_href=href(base, one.link("unchanged")) if one.unchanged else "",
        example_href=example and conversation_href(example, run, one.link("changed")),
        lines=_lines(base, run, one, examples),
        bars=bars,
        highest=max((max(bar.before, bar.after) for bar in bars), default=0),
    )


def _lines(base: str, run: Run, one: FieldReport, examples: Mapping[int, str]) -> list[Line]:
    if one.transitions:
        return [_transition(base, run, one, t, examples) for t in one.transitions]
    filled = ("filled in", one.filled, one.link("changed", before="null"))
    emptied = ("emptied", one.emptied, one.link("changed", after="null"))
    return [Line(label, "", n, href(base, link)) for label, n, link in (filled, emptied) if n]


def _transition(
    base: str, run: Run, one: FieldReport, change: Transition, examples: Mapping[int, str]
) -> Line:
    link = one.link("changed", change.before, change.after)
    example = examples.get(change.example, "")
    return Line(
        value_label(change.before),
        value_label(change.after),
        change.count,
        href(base, link),
        example,
        example and conversation_href(example, run, link),
    )


def conversation_href(conversation: str, run: Run, change: ChangeFilter) -> str:
    """Return the page of a conversation, whose next and previous follow the filter."""
    origin = urlencode({"run": run.public_id} | change.params())
    page = reverse("analysis:conversation", args=[conversation])
    return f"{page}?{urlencode({'from': origin})}"


def _values(base: str, one: FieldReport) -> list[Bar]:
    if one.kind == "text":
        return []
    values = sorted({*one.before, *one.after}, key=lambda v: (v == "null", -one.before[v], v))
    return [
        Bar(
            value_label(value),
            one.before[value],
            one.after[value],
            href(base, one.link("value", before=value)),
            href(base, one.link("value", after=value)),
        )
        for value in values
    ]


def _bins(base: str, one: FieldReport) -> list[Bar]:
    assert one.numbers is not None
    before, after = one.numbers
    edges = [(low, high) for low, high, _ in (before.histogram or after.histogram)]
    counts = [[n for _, _, n in side.histogram] or [0] * len(edges) for side in (before, after)]
    whole = before.whole or after.whole
    bars = []
    for (low, high), b, a in zip(edges, *counts, strict=True):
        span = Span(low, high, closed=high in (before.highest, after.highest))
        links = (one.link("value", before=span), one.link("value", after=span))
        label = _bin_label(span, whole=whole)
        bars.append(Bar(label, b, a, *(href(base, link) for link in links)))
    return bars


def _bin_label(span: Span, *, whole: bool) -> str:
    if not whole:
        return f"{_number(span.low)}–{_number(span.high)}"
    low, high = int(span.low), int(span.high) - (not span.closed)
    return number(low) if low == high else f"{number(low)}–{number(high)}"


@dataclass(frozen=True, slots=True)
class Accuracy:
    """One number of a run as it was estimated and as it turned out."""

    label: str
    estimated: str
    actual: str
    difference: str


def accuracy_of(run: Run, progress: Progress) -> list[Accuracy]:
    """Compare a run that has ended with its estimate; empty for one that asks no model."""
    if run.is_active or not run.asks_model or not run.finished_at:
        return []
    estimate = run.estimate
    cost = None if estimate.get("cost") is None else Decimal(estimate["cost"])
    took = (run.finished_at - run.started_at).total_seconds() if run.started_at else None
    rows = [
        ("Cost", cost, progress.cost, money),
        ("Tokens in", estimate.get("input_tokens"), progress.input_tokens, compact),
        ("Tokens out", estimate.get("output_tokens"), progress.output_tokens, compact),
        ("Time", estimate.get("seconds"), took, timespan),
    ]
    return [_accuracy(label, expected, actual, show) for label, expected, actual, show in rows]


def tiers_used(run: Run) -> list[tuple[str, int]]:
    """Return how many responses a run in a cheaper lane got there, and at the standard price."""
    lane = run.options.get("lane")
    if lane not in TIERS:
        return []
    used = tiers_of_run(run.public_id)
    return [(LABELS[lane], used.get(TIERS[lane], 0)), (LABELS[STANDARD], used.get("", 0))]


def _accuracy(label: str, expected: Any, actual: Any, show: Callable[[Any], str]) -> Accuracy:
    difference = ""
    if expected and actual is not None:
        difference = f"{float(actual) / float(expected) - 1:+.0%}".replace("-", "−")
    estimated, used = ("–" if value is None else show(value) for value in (expected, actual))
    return Accuracy(label, estimated, used, difference)

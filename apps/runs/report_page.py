"""The report of a run as its page shows it: lines with labels, bars, and links."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.urls import reverse

from apps.core.display import number, one_line

from .changes import ChangeFilter
from .models import Run
from .report import FieldReport, report_of

SHOWN = 8
"""Lines of a field that are shown before the rest is folded."""


@dataclass(frozen=True, slots=True)
class Line:
    """One count with the address of its conversations; ``after`` is empty for a single value."""

    label: str
    after: str
    count: int
    href: str


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
    return [_panel(base, one) for one in report_of(run) if _has_values(one)]


def _has_values(one: FieldReport) -> bool:
    return any(value != "null" for value in (*one.before, *one.after)) or bool(one.changed)


def href(base: str, change: ChangeFilter) -> str:
    """Return the address of the items behind a count."""
    return f"{base}?{urlencode(change.params())}#items-section"


def value_label(value: str) -> str:
    """Return a JSON value in words."""
    read = json.loads(value)
    if read is None:
        return "not set"
    return one_line(read)[:80]


def _panel(base: str, one: FieldReport) -> FieldPanel:
    bars = _bins(one) if one.numbers else _values(base, one)
    return FieldPanel(
        report=one,
        changed_href=href(base, one.link("changed")) if one.changed else "",
        unchanged_href=href(base, one.link("unchanged")) if one.unchanged else "",
        lines=_lines(base, one),
        bars=bars,
        highest=max((max(bar.before, bar.after) for bar in bars), default=0),
    )


def _lines(base: str, one: FieldReport) -> list[Line]:
    if one.transitions:
        return [
            Line(
                value_label(t.before),
                value_label(t.after),
                t.count,
                href(base, one.link("changed", t.before, t.after)),
            )
            for t in one.transitions
        ]
    filled = ("filled in", one.filled, one.link("changed", before="null"))
    emptied = ("emptied", one.emptied, one.link("changed", after="null"))
    return [Line(label, "", n, href(base, link)) for label, n, link in (filled, emptied) if n]


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


def _bins(one: FieldReport) -> list[Bar]:
    assert one.numbers is not None
    before, after = one.numbers
    edges = [(low, high) for low, high, _ in (before.histogram or after.histogram)]
    counts = [[n for _, _, n in side.histogram] or [0] * len(edges) for side in (before, after)]
    return [
        Bar(_bin_label(low, high), b, a) for (low, high), b, a in zip(edges, *counts, strict=True)
    ]


def _bin_label(low: float, high: float) -> str:
    if low.is_integer() and high == low + 1:
        return number(int(low))
    if low.is_integer() and high.is_integer():
        return f"{number(int(low))}–{number(int(high) - 1)}"
    return f"{_number(low)}–{_number(high)}"

"""Lay out charts: from values to coordinates, titles, and links.

Templates draw them as inline SVG (`components/_line_chart.html`, `components/_bar_chart.html`).
Positions are percentages of the plot, so that a chart fits any width and its text keeps its size.
Paths can't have percentages: they are in a square of `SQUARE` units that is stretched over the
plot. Nothing here needs a style attribute, which the content policy forbids.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

SQUARE = 1000
X_LABELS = 5
"""Labels of the horizontal axis that fit next to each other on a phone."""
GAP = 0.18
"""Share of a column that stays free between bars."""
HATCHED = frozenset({1, 3, 5})
"""Series that have a texture in addition to their color."""


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a line. ``value`` None leaves a gap; ``low`` and ``high`` are its interval."""

    label: str
    title: str
    value: float | None
    low: float | None = None
    high: float | None = None
    url: str = ""
    is_small: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """One segment of a column. ``series`` names its color and texture."""

    series: int
    value: float
    title: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """Segments on top of each other, the first one at the bottom."""

    label: str
    parts: Sequence[Part]
    is_small: bool = False

    @property
    def total(self) -> float:
        return sum(part.value for part in self.parts)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a column of the chart, for a mark on the time axis."""

    column: int
    title: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """A label of an axis at ``at`` percent; ``anchor`` keeps the outer ones inside the plot."""

    at: float
    label: str
    anchor: str = "middle"


@dataclass(frozen=True, slots=True)
class Mark:
    """A point of a line, or the mark of an event."""

    x: float
    y: float
    title: str
    url: str = ""
    is_small: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """A segment of a column."""

    x: float
    y: float
    width: float
    height: float
    series: int
    title: str
    url: str = ""
    is_small: bool = False

    @property
    def is_hatched(self) -> bool:
        return self.series in HATCHED


@dataclass(frozen=True, slots=True)
class LineChart:
    """Coordinates of a line with its interval; ``reference`` is the height of the comparison."""

    marks: tuple[Mark, ...]
    lines: tuple[str, ...]
    bands: tuple[str, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    reference: Mark | None = None
    events: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class BarChart:
    """Coordinates of columns of stacked bars."""

    bars: tuple[Bar, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    events: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Scale:
    """The vertical axis from ``low`` to ``high``, with a line at each step."""

    low: float
    high: float
    steps: tuple[float, ...]

    def y(self, value: float) -> float:
        """Return how far below the top a value is, in percent."""
        share = (value - self.low) / ((self.high - self.low) or 1)
        return round(100 - 100 * min(max(share, 0.0), 1.0), 2)

    def times(self, unit: float) -> "Scale":
        """Return the same axis in another unit."""
        return Scale(self.low * unit, self.high * unit, tuple(step * unit for step in self.steps))

    def ticks(self, label: Callable[[float], str]) -> tuple[Tick, ...]:
        return tuple(Tick(self.y(step), label(step)) for step in self.steps)


def scale_of(values: Iterable[float], *, from_zero: bool, whole: bool = False) -> Scale:
    """Return an axis of two to five round steps that has room for all values.

    ``whole``: steps between whole numbers would name counts that can't be.
    """
    known = list(values) or [0.0, 1.0]
    low, high = min(known), max(known)
    low = min(low, 0.0) if from_zero else low
    raw = (high - low) / 4 or abs(high) / 4 or 0.25
    power = 10.0 ** floor(log10(raw))
    step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= raw * (1 - 1e-9))
    step = max(ceil(step), 1) if whole else step
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    last = max(last, first + 1)
    steps = tuple(float(f"{n * step:.12g}") for n in range(first, last + 1))
    return Scale(steps[0], steps[-1], steps)


def share_scale(values: Iterable[float]) -> Scale:
    """Return an axis of shares from 0 to 100%, or to a quarter or half where all are lower."""
    highest = max(values, default=1.0)
    top = next(top for top in (0.1, 0.25, 0.5, 1.0) if highest <= top or top == 1.0)
    return Scale(0.0, top, (0.0, top / 2, top))


def line_chart(
    points: Sequence[Point],
    scale: Scale,
    label: Callable[[float], str],
    *,
    reference: tuple[float, str] | None = None,
    events: Iterable[Event] = (),
) -> LineChart:
    """Lay out a line with its interval. ``reference`` is a value to compare with and its title."""
    xs = [_middle(n, len(points)) for n in range(len(points))]
    marks = tuple(
        Mark(x, scale.y(p.value), p.title, p.url, p.is_small)
        for x, p in zip(xs, points, strict=True)
        if p.value is not None
    )
    runs = _runs(points)
    return LineChart(
        marks=marks,
        lines=tuple(_path([(xs[n], _value_y(points[n], scale)) for n in run]) for run in runs),
        bands=tuple(band for run in runs if (band := _band(points, xs, run, scale))),
        x_ticks=x_ticks([point.label for point in points]),
        y_ticks=scale.ticks(label),
        reference=Mark(0, scale.y(reference[0]), reference[1]) if reference else None,
        events=_events(events, len(points)),
    )


def bar_chart(
    columns: Sequence[Column],
    scale: Scale,
    label: Callable[[float], str],
    *,
    events: Iterable[Event] = (),
    as_shares: bool = False,
) -> BarChart:
    """Lay out stacked bars. ``as_shares`` makes each column the whole of its own conversations."""
    bars: list[Bar] = []
    for n, column in enumerate(columns):
        below = 0.0
        whole = (column.total or 1.0) if as_shares else 1.0
        for part in column.parts:
            if not part.value:
                continue
            bars.append(_bar(scale, (n, len(columns)), column, part, below / whole, whole))
            below += part.value
    return BarChart(
        bars=tuple(bars),
        x_ticks=x_ticks([column.label for column in columns]),
        y_ticks=scale.ticks(label),
        events=_events(events, len(columns)),
    )


def x_ticks(labels: Sequence[str]) -> tuple[Tick, ...]:
    """Return labels of the horizontal axis, at most a few, the first and last column included."""
    count = len(labels)
    if count <= X_LABELS + 1:
        return tuple(Tick(_middle(n, count), label) for n, label in enumerate(labels))
    picked = sorted({round(n * (count - 1) / (X_LABELS - 1)) for n in range(X_LABELS)})
    anchors = {picked[0]: "start", picked[-1]: "end"}
    edges = {picked[0]: 0.0, picked[-1]: 100.0}
    return tuple(
        Tick(edges.get(n, _middle(n, count)), labels[n], anchors.get(n, "middle")) for n in picked
    )


def _bar(  # noqa: PLR0917 (a bar has a place in a column)
    scale: Scale, place: tuple[int, int], column: Column, part: Part, below: float, whole: float
) -> Bar:
    n, count = place
    width = 100 / count
    top = scale.y(below + part.value / whole)
    return Bar(
        x=round(n * width + width * GAP / 2, 3),
        y=top,
        width=round(width * (1 - GAP), 3),
        height=round(scale.y(below) - top, 2),
        series=part.series,
        title=part.title,
        url=part.url,
        is_small=column.is_small,
    )


def _middle(n: int, count: int) -> float:
    """Return the middle of a column, in percent."""
    return round(100 * (n + 0.5) / count, 2)


def _events(events: Iterable[Event], count: int) -> tuple[Mark, ...]:
    """Return the marks of events; those of one column share a mark."""
    by_column: dict[int, list[Event]] = {}
    for event in events:
        if 0 <= event.column < count:
            by_column.setdefault(event.column, []).append(event)
    return tuple(
        Mark(_middle(n, count), 0, "\n".join(one.title for one in found), found[-1].url)
        for n, found in sorted(by_column.items())
    )


def _runs(points: Sequence[Point]) -> list[list[int]]:
    """Return the indexes of points that follow each other without a gap."""
    runs: list[list[int]] = []
    for n, point in enumerate(points):
        if point.value is None:
            continue
        if runs and runs[-1][-1] == n - 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return runs


def _band(points: Sequence[Point], xs: Sequence[float], run: Sequence[int], scale: Scale) -> str:
    """Return the outline of the intervals of a run; empty where a point has none."""
    bounds = [(xs[n], points[n].low, points[n].high) for n in run]
    low = [(x, scale.y(at)) for x, at, _ in bounds if at is not None]
    high = [(x, scale.y(at)) for x, _, at in bounds if at is not None]
    if len(low) != len(run) or len(high) != len(run) or len(run) < 2:
        return ""
    return f"{_path([*high, *reversed(low)])}Z"


def _value_y(point: Point, scale: Scale) -> float:
    return scale.y(point.value or 0.0)


def _path(points: Sequence[tuple[float, float]]) -> str:
    """Return a path through points in percent, in units of the square."""
    size = SQUARE / 100
    return "M" + "L".join(f"{x * size:.1f} {y * size:.1f}" for x, y in points)

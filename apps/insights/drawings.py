"""Turn statistics into charts: their order, colors, and titles."""

from collections.abc import Iterable
from dataclasses import dataclass

from apps.core.charts import (
    BarChart,
    Column,
    Event,
    LineChart,
    Part,
    Point,
    Scale,
    bar_chart,
    line_chart,
    scale_of,
    share_scale,
)
from apps.core.display import compact, duration, number, percent

from .field_stats import Change, ChoiceStats, NumberStats, RateStats, Share, Volume
from .fields import FieldType, InsightField
from .rates import SMALL, Average, Difference, Rate

SERIES = 7
"""Values that have a color of their own; the others share the last one."""


def events_of(changes: Iterable[Change]) -> list[Event]:
    """Return the marks of changed prompts and models."""
    return [Event(c.bucket, f"{c.agent}: {c.what}", c.url) for c in changes]


def rate_chart(stats: RateStats, changes: Iterable[Change] = ()) -> LineChart:
    """Draw the share of yes with its interval, and that of the previous period as a line."""
    points = [
        Point(
            point.bucket.label,
            f"{point.bucket.title}{_so_far(point.bucket.is_partial)}: {rate_words(point.rate)}",
            point.rate.value,
            point.rate.low,
            point.rate.high,
            point.all_url,
            point.rate.is_small,
        )
        for point in stats.series
    ]
    return line_chart(
        points,
        share_scale([point.high for point in points if point.high is not None]),
        percent,
        reference=_previous_rate(stats.previous),
        events=events_of(changes),
    )


def number_chart(stats: NumberStats, changes: Iterable[Change] = ()) -> LineChart:
    """Draw the means with their intervals, and the mean of the previous period as a line."""
    points = [
        Point(
            point.bucket.label,
            f"{point.bucket.title}{_so_far(point.bucket.is_partial)}: "
            f"{average_words(stats.field, point.average)}",
            point.average.value,
            point.average.low,
            point.average.high,
            point.url,
            point.average.is_small,
        )
        for point in stats.series
    ]
    before = stats.previous.value if stats.previous else None
    unit = _unit(stats.field)
    ends = [at for p in points for at in (p.value, before) if at is not None]
    # Wide intervals of a few conversations would flatten everything else.
    ends += [at for p in points if not p.is_small for at in (p.low, p.high) if at is not None]
    reference = None
    if before is not None:
        reference = (before, f"Previous period: {value_words(stats.field, before)}")
    return line_chart(
        points,
        scale_of((at / unit for at in ends), from_zero=_starts_at_zero(stats)).times(unit),
        lambda value: value_words(stats.field, value, axis=True),
        reference=reference,
        events=events_of(changes),
    )


def choice_chart(stats: ChoiceStats, changes: Iterable[Change] = ()) -> BarChart:
    """Draw the shares of values over time; of a list, how many conversations have each entry."""
    is_list = any(sum(point.counts) > point.n for point in stats.series)
    columns = [
        Column(
            point.bucket.label,
            [
                Part(
                    series_of(place),
                    count,
                    f"{point.bucket.title}, {stats.shares[place].label}: {count:,} of {point.n:,}"
                    f" ({percent(count, point.n)})",
                    point.urls[place],
                )
                for place, count in enumerate(point.counts)
            ],
            is_small=point.n < SMALL,
        )
        for point in stats.series
    ]
    highest = max((column.total for column in columns), default=0)
    scale = scale_of([highest], from_zero=True, whole=True) if is_list else Scale(0, 1, (0, 0.5, 1))
    return bar_chart(
        columns,
        scale,
        compact if is_list else percent,
        events=events_of(changes),
        as_shares=not is_list,
    )


def histogram(stats: NumberStats) -> BarChart:
    """Draw how many conversations have a number in each range."""
    columns = [
        Column(
            value_words(stats.field, bin_.low, axis=True),
            [
                Part(
                    0,
                    bin_.n,
                    f"{range_words(stats, place)}: {_conversations(bin_.n)}"
                    f" ({percent(bin_.n, stats.n)})",
                    bin_.url,
                )
            ],
        )
        for place, bin_ in enumerate(stats.bins)
    ]
    highest = max((bin_.n for bin_ in stats.bins), default=0)
    return bar_chart(columns, scale_of([highest], from_zero=True, whole=True), compact)


def volume_chart(volume: Volume, changes: Iterable[Change] = ()) -> BarChart:
    """Draw conversations by how their analysis went."""
    columns = []
    for point in volume.series:
        kinds = (
            (0, point.analyzed, "analyzed", point.url),
            (7, point.other, "not analyzed", point.url),
            (5, point.failed, "failed", point.failed_url),
        )
        title = f"{point.bucket.title}{_so_far(point.bucket.is_partial)}"
        parts = [
            Part(series, n, f"{title}: {n:,} of {point.conversations:,} {word}", url)
            for series, n, word, url in kinds
        ]
        columns.append(Column(point.bucket.label, parts))
    highest = max((point.conversations for point in volume.series), default=0)
    scale = scale_of([highest], from_zero=True, whole=True)
    return bar_chart(columns, scale, compact, events=events_of(changes))


def series_of(place: int) -> int:
    """Return the color of the value at a place of the list."""
    return min(place, SERIES)


def rate_words(rate: Rate) -> str:
    """Return “82% (74–88%), n = 120”; of a few, the counts alone."""
    if rate.value is None or rate.low is None or rate.high is None:
        return "no conversations"
    if rate.is_small:
        return f"{rate.yes:,} of {rate.n:,} (few)"
    return f"{percent(rate.value)} ({interval_words(rate)}), n = {rate.n:,}"


def interval_words(rate: Rate) -> str:
    """Return a 95% interval as whole percentages: “74–88%”."""
    if rate.low is None or rate.high is None:
        return ""
    return f"{rate.low * 100:.0f}–{rate.high * 100:.0f}%"


def average_words(field: InsightField, average: Average) -> str:
    """Return “71.4 (69–74), n = 120”; of a few, the mean with its n."""
    if average.value is None:
        return "no conversations"
    words = value_words(field, average.value)
    if average.is_small or average.low is None or average.high is None:
        return f"{words}, n = {average.n:,} (few)"
    low, high = value_words(field, average.low), value_words(field, average.high)
    return f"{words} ({low}–{high}), n = {average.n:,}"


def value_words(field: InsightField, value: float, *, axis: bool = False) -> str:
    """Return a number of a field with three digits at most: “3:41” of a duration, “71.4”."""
    if field.name == "duration_ms":
        return duration(value)
    if axis:
        return compact(float(f"{value:.4g}"))
    places = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return number(round(value, places))


def range_words(stats: NumberStats, place: int) -> str:
    """Return the range of a bin: “70–79” of whole numbers, else “from 70 until before 80”."""
    bin_, is_last = stats.bins[place], place == len(stats.bins) - 1
    low, high = (value_words(stats.field, at, axis=True) for at in (bin_.low, bin_.high))
    if bin_.high - bin_.low == 1 and bin_.low.is_integer():
        return low
    return f"{low} to {high}" if is_last else f"{low} to under {high}"


def _conversations(n: int) -> str:
    return f"{n:,} conversation" if n == 1 else f"{n:,} conversations"


def _so_far(is_partial: bool) -> str:  # noqa: FBT001 (a property of the bucket)
    return " (part)" if is_partial else ""


def _previous_rate(previous: Rate | None) -> tuple[float, str] | None:
    if previous is None or previous.value is None:
        return None
    return previous.value, f"Previous period: {rate_words(previous)}"


def _unit(field: InsightField) -> float:
    """Return what the steps of an axis are whole numbers of: minutes of a duration."""
    return 60_000.0 if field.name == "duration_ms" else 1.0


def _starts_at_zero(stats: NumberStats) -> bool:
    """Return whether zero belongs on the axis: unless the numbers are all far from it."""
    low, high = stats.lowest, stats.highest
    return low is None or high is None or (0 <= low <= high / 2)


@dataclass(frozen=True, slots=True)
class ShareRow:
    """A value in the list under a chart. ``series`` is its color; None without one."""

    share: Share
    series: int | None
    delta: str


def share_rows(stats: ChoiceStats) -> list[ShareRow]:
    """Return the values with their colors and changes."""
    return [
        ShareRow(
            share,
            None if stats.field.type == FieldType.TEXT else series_of(place),
            rate_delta(share.change),
        )
        for place, share in enumerate(stats.shares)
    ]


def rate_delta(change: Difference | None) -> str:
    """Return a change of a rate: “+3 points”; “±0 points” where it rounds to nothing."""
    if change is None:
        return ""
    points = round(change.value * 100)
    return f"{points:+d} point{'' if abs(points) == 1 else 's'}" if points else "±0 points"


def number_delta(field: InsightField, change: Difference | None) -> str:
    """Return a change of a mean with its sign."""
    if change is None:
        return ""
    sign = "+" if change.value > 0 else "−" if change.value < 0 else "±"
    return f"{sign}{value_words(field, abs(change.value))}"

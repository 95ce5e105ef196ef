"""Mean, median and histogram of numbers that were counted by value."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, log10
from statistics import median
from typing import Any

BINS = 10

#: Values in ascending order, each with its count.
Counted = Sequence[tuple[float, int]]


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers of one side. ``histogram`` has (from, to, count) of each bin; None without any.

    ``whole``: both sides have only whole numbers. ``highest`` is the highest number of both: where
    it is the end of the last bin, that bin has it.
    """

    n: int = 0
    mean: float | None = None
    median: float | None = None
    histogram: tuple[tuple[float, float, int], ...] = ()
    whole: bool = False
    highest: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as the API shows them."""
        bins = [{"from": low, "to": high, "count": count} for low, high, count in self.histogram]
        return {"n": self.n, "mean": self.mean, "median": self.median, "histogram": bins}


def compared(before: Counted, after: Counted) -> tuple[Numbers, Numbers]:
    """Return the numbers of two sides, in the same bins."""
    values = [value for value, _ in (*before, *after)]
    whole = all(value.is_integer() for value in values)
    if not values:
        return Numbers(), Numbers()
    highest = max(values)
    edges = bin_edges(min(values), highest, whole=whole)
    sides = (_numbers(before, edges), _numbers(after, edges))
    first, second = (replace(side, whole=whole, highest=highest) for side in sides)
    return first, second


def bin_edges(low: float, high: float, *, whole: bool) -> list[float]:
    """Return the lower edges of at most about ten bins of a round width, and the last one's end.

    Each bin goes from its edge until before the next one; the last one also has its end. Whole
    numbers that are few have a bin each.
    """
    if whole and high - low < BINS:
        return [low + step for step in range(int(high - low) + 2)]
    raw = (high - low) / BINS or abs(low) / BINS or 1.0
    power = 10.0 ** floor(log10(raw))
    width = next(step * power for step in (1, 2, 5, 10) if step * power >= raw * (1 - 1e-9))
    width = max(width, 1.0) if whole else width
    first = floor(low / width + 1e-9)
    last = max(ceil(high / width - 1e-9), first + 1)
    return [float(f"{step * width:.12g}") for step in range(first, last + 1)]


def counts_in(edges: Sequence[float], values: Counted) -> list[int]:
    """Return how many of the values are in each bin."""
    counts = [0] * max(len(edges) - 1, 0)
    for value, count in values:
        counts[min(max(bisect_right(edges, value) - 1, 0), len(counts) - 1)] += count
    return counts


def _numbers(values: Counted, edges: Sequence[float]) -> Numbers:
    n = sum(count for _, count in values)
    if not n:
        return Numbers()
    bins = counts_in(edges, values)
    return Numbers(
        n=n,
        mean=sum(value * count for value, count in values) / n,
        median=_median(values, n),
        histogram=tuple((edges[i], edges[i + 1], bins[i]) for i in range(len(edges) - 1)),
    )


def _median(values: Counted, n: int) -> float:
    middle: list[float] = []
    seen = 0
    for value, count in values:
        middle += [value for place in ((n - 1) // 2, n // 2) if seen <= place < seen + count]
        seen += count
    return float(median(middle))

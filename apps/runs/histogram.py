"""Mean, median and histogram of numbers that were counted by value."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

BINS = 10

#: Values in ascending order, each with its count.
Counted = Sequence[tuple[float, int]]


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers of one side. ``histogram`` has (from, to, count) of each bin; None without any."""

    n: int = 0
    mean: float | None = None
    median: float | None = None
    histogram: tuple[tuple[float, float, int], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as the API shows them."""
        bins = [{"from": low, "to": high, "count": count} for low, high, count in self.histogram]
        return {"n": self.n, "mean": self.mean, "median": self.median, "histogram": bins}


def compared(before: Counted, after: Counted) -> tuple[Numbers, Numbers]:
    """Return the numbers of two sides, in the same bins."""
    edges = _edges([value for value, _ in (*before, *after)])
    return _numbers(before, edges), _numbers(after, edges)


def _edges(values: Sequence[float]) -> list[float]:
    """Return the lower edges of the bins, and the end of the last one."""
    if not values:
        return []
    low, high = min(values), max(values)
    whole = all(value.is_integer() for value in values)
    if whole and high - low < BINS:
        return [low + step for step in range(int(high - low) + 2)]
    width = (high - low) / BINS or 1.0
    if whole:
        width = float(-(-int(high - low + 1) // BINS))
    return [low + step * width for step in range(BINS + 1)]


def _numbers(values: Counted, edges: Sequence[float]) -> Numbers:
    n = sum(count for _, count in values)
    if not n:
        return Numbers()
    bins = Counter[int]()
    for value, count in values:
        bins[min(bisect_right(edges, value) - 1, len(edges) - 2)] += count
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

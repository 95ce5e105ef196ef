"""Rates and averages with their 95% intervals, and differences of two of them.

Rates use Wilson's interval, and their difference Newcombe's, which is made of two of those: both
hold for small numbers and at 0% and 100%.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

Z = 1.959963984540054
SMALL = 20
"""Below this many values a number is shown as uncertain."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more the second of two numbers is than the first, with a 95% interval."""

    value: float
    low: float
    high: float
    is_small: bool = False

    @property
    def is_clear(self) -> bool:
        """Return whether chance alone is an unlikely explanation."""
        return not self.is_small and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, slots=True)
class Rate:
    """``yes`` of ``n``."""

    yes: int
    n: int

    @property
    def value(self) -> float | None:
        """Return the share from 0 to 1; None of nothing."""
        return self.yes / self.n if self.n else None

    @property
    def is_small(self) -> bool:
        return self.n < SMALL

    @property
    def low(self) -> float | None:
        return self.interval[0] if self.n else None

    @property
    def high(self) -> float | None:
        return self.interval[1] if self.n else None

    @property
    def interval(self) -> tuple[float, float]:
        """Return Wilson's interval of at least one value."""
        share, squared = self.yes / self.n, Z * Z
        middle = (share + squared / (2 * self.n)) / (1 + squared / self.n)
        half = (
            Z
            * sqrt(share * (1 - share) / self.n + squared / (4 * self.n * self.n))
            / (1 + squared / self.n)
        )
        return max(0.0, middle - half), min(1.0, middle + half)

    def since(self, earlier: "Rate") -> Difference | None:
        """Return how much it changed since an earlier one; None where one is of nothing."""
        if not self.n or not earlier.n:
            return None
        (low, high), (low_before, high_before) = self.interval, earlier.interval
        now, before = self.yes / self.n, earlier.yes / earlier.n
        below = sqrt((now - low) ** 2 + (high_before - before) ** 2)
        above = sqrt((high - now) ** 2 + (before - low_before) ** 2)
        change = now - before
        return Difference(change, change - below, change + above, self.is_small or earlier.is_small)


@dataclass(frozen=True, slots=True)
class Average:
    """``n`` numbers by their sum and the sum of their squares."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    @property
    def value(self) -> float | None:
        return self.total / self.n if self.n else None

    @property
    def is_small(self) -> bool:
        return self.n < SMALL

    @property
    def low(self) -> float | None:
        return None if self.n < 2 else self.total / self.n - Z * self.error

    @property
    def high(self) -> float | None:
        return None if self.n < 2 else self.total / self.n + Z * self.error

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        variance = (self.squares - self.total * self.total / self.n) / (self.n - 1)
        return sqrt(max(variance, 0.0) / self.n)

    def since(self, earlier: "Average") -> Difference | None:
        """Return how much the mean changed; None where one of them has no interval."""
        if self.n < 2 or earlier.n < 2:
            return None
        change = self.total / self.n - earlier.total / earlier.n
        half = Z * sqrt(self.error**2 + earlier.error**2)
        return Difference(change, change - half, change + half, self.is_small or earlier.is_small)


def sum_of(averages: Iterable[Average]) -> Average:
    """Return the numbers of several averages taken together."""
    every = list(averages)
    return Average(
        sum(one.n for one in every),
        sum(one.total for one in every),
        sum(one.squares for one in every),
    )

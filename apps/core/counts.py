"""Counts that stop at a limit, so that a list of millions opens as fast as a short one."""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

COUNTED = 10_000
"""Counts next to lists stop here."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many rows match; ``exact`` is False where counting stopped."""

    number: int
    exact: bool

    @classmethod
    def of(cls, number: int, limit: int = COUNTED) -> "Count":
        """Return a count of rows of which one more than the limit was looked at."""
        return cls(min(number, limit), number <= limit)

    def __str__(self) -> str:
        return f"{self.number:,}" if self.exact else f"{self.number:,}+"


def count(rows: QuerySet[Any], *, limit: int = COUNTED) -> Count:
    """Return how many rows there are, up to a limit."""
    return Count.of(rows.order_by().values("pk")[: limit + 1].count(), limit)

"""Statistics of insights: the numbers of a tile, each with the conversations behind it.

``url`` always opens exactly the conversations that a number counts, in Call History or Chat
History. It is empty over both channels, and of values that filters reject.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from .buckets import Bucket
from .fields import InsightField
from .rates import Average, Difference, Rate


@dataclass(frozen=True, slots=True)
class Omission:
    """Conversations that statistics leave out for one reason."""

    code: str
    label: str
    n: int
    url: str = ""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many of the conversations of a period the statistics count.

    ``total`` is always ``counted`` plus those that were left out.
    """

    total: int
    counted: int
    left_out: tuple[Omission, ...] = ()
    url: str = ""

    @property
    def analyzed(self) -> int:
        """Return how many have a result, whether or not it has a value of the field."""
        return self.total - sum(o.n for o in self.left_out if o.code not in OF_RESULTS)

    @property
    def sentence(self) -> str:
        """Return “1,180 of 1,240 (60 not analyzed)”."""
        said = f"{self.counted:,} of {self.total:,}"
        missing = self.total - self.analyzed
        parts = [f"{missing:,} not analyzed"] if missing else []
        parts += [f"{o.n:,} {o.label}" for o in self.left_out if o.code in OF_RESULTS]
        return f"{said} ({', '.join(parts)})" if parts else said


NO_VALUE, OTHER_TYPE, NOT_ASKED = "no_value", "other_type", "not_asked"
OF_RESULTS: Mapping[str, str] = {
    NO_VALUE: "without a value",
    OTHER_TYPE: "with a value of another type",
    NOT_ASKED: "analyzed without this field",
}
"""Reasons for which conversations with a result are left out of the statistics of a field."""


@dataclass(frozen=True, slots=True)
class RatePoint:
    """The rate of one bucket. ``url`` opens those that count as yes, ``all_url`` all that count."""

    bucket: Bucket
    rate: Rate
    url: str = ""
    all_url: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """The conversations that have one value (or one entry of a list).

    ``rate`` is the share of those that count; ``previous`` the same of the period before.
    ``is_rest``: the sum of the values that are not listed, without a link.
    """

    value: str
    label: str
    rate: Rate
    url: str = ""
    previous: Rate | None = None
    change: Difference | None = None
    is_rest: bool = False


@dataclass(frozen=True, slots=True)
class SharePoint:
    """Counts of one bucket, in the order of the shares, of ``n`` that count."""

    bucket: Bucket
    n: int
    counts: tuple[int, ...]
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bin:
    """Numbers from ``low`` until before ``high``; the last bin has its end."""

    low: float
    high: float
    n: int
    url: str = ""


@dataclass(frozen=True, slots=True)
class NumberPoint:
    bucket: Bucket
    average: Average
    url: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """One value of the field that statistics are broken down by.

    Of a yes/no field ``rate`` is set, of a number ``average``; of a choice or list field ``shares``
    has the counts of the shares, in their order, of ``n`` that count.
    """

    value: str
    label: str
    n: int
    rate: Rate | None = None
    average: Average | None = None
    counts: tuple[int, ...] = ()
    url: str = ""


@dataclass(frozen=True, slots=True)
class FieldStats:
    """What the tiles of all fields have. ``groups`` is the breakdown, the largest group first."""

    field: InsightField
    coverage: Coverage
    groups: tuple[Group, ...] = ()

    @property
    def n(self) -> int:
        return self.coverage.counted


@dataclass(frozen=True, slots=True)
class RateStats(FieldStats):
    """A yes/no field: the share of yes."""

    rate: Rate = field(default_factory=lambda: Rate(0, 0))
    previous: Rate | None = None
    change: Difference | None = None
    series: tuple[RatePoint, ...] = ()
    yes_url: str = ""
    no_url: str = ""


@dataclass(frozen=True, slots=True)
class ChoiceStats(FieldStats):
    """A choice, text or list field: its values or entries, the most frequent first.

    ``any`` is of a list field only: the share of conversations with at least one entry.
    ``distinct`` counts all values of the period, those that are not listed included.
    """

    shares: tuple[Share, ...] = ()
    series: tuple[SharePoint, ...] = ()
    distinct: int = 0
    previous_n: int | None = None
    any: Rate | None = None
    any_previous: Rate | None = None
    any_change: Difference | None = None
    any_url: str = ""


@dataclass(frozen=True, slots=True)
class NumberStats(FieldStats):
    """A number field, or a measure such as the duration."""

    average: Average = field(default_factory=Average)
    median: float | None = None
    lowest: float | None = None
    highest: float | None = None
    bins: tuple[Bin, ...] = ()
    series: tuple[NumberPoint, ...] = ()
    previous: Average | None = None
    previous_median: float | None = None
    change: Difference | None = None


@dataclass(frozen=True, slots=True)
class VolumePoint:
    """Conversations of one bucket; ``cost`` is that of their results as far as it is known."""

    bucket: Bucket
    conversations: int
    analyzed: int
    failed: int
    cost: Decimal
    unpriced: int
    url: str = ""
    failed_url: str = ""

    @property
    def other(self) -> int:
        """Return those that are neither analyzed nor failed."""
        return self.conversations - self.analyzed - self.failed


@dataclass(frozen=True, slots=True)
class Volume:
    """Conversations, results, failures by cause, and cost of a period.

    ``cost`` sums the current results; ``unpriced`` of them have no known cost.
    """

    coverage: Coverage
    series: tuple[VolumePoint, ...]
    failures: tuple[Omission, ...]
    cost: Decimal
    unpriced: int
    previous: int | None = None
    previous_analyzed: int | None = None
    previous_failed: int | None = None
    previous_cost: Decimal | None = None
    groups: tuple[Group, ...] = ()

    @property
    def failed(self) -> int:
        return sum(failure.n for failure in self.failures)

    @property
    def cost_each(self) -> Decimal | None:
        """Return the mean cost of a result with a known one; None where there is none."""
        priced = self.coverage.analyzed - self.unpriced
        return self.cost / priced if priced else None


@dataclass(frozen=True, slots=True)
class Change:
    """A change of an agent's prompts or model inside the period, for a mark on the time axis.

    ``bucket`` is the index of the bucket in which it happened, ``what`` a short description.
    """

    at: datetime
    bucket: int
    agent: str
    what: str
    url: str = ""
    by: str = ""

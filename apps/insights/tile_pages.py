"""What a tile shows: its template, and the statistics and charts that the template draws."""

from dataclasses import dataclass, field, replace
from typing import Any
from zlib import crc32

from apps.core.charts import BarChart, LineChart

from .buckets import Size
from .cache import cached
from .config_changes import changes_of
from .drawings import (
    ShareRow,
    choice_chart,
    histogram,
    number_chart,
    number_delta,
    rate_chart,
    rate_delta,
    rate_words,
    share_rows,
    value_words,
    volume_chart,
)
from .field_stats import Change, ChoiceStats, NumberStats, RateStats, Volume
from .fields import InsightField
from .rates import SMALL, Difference, Rate
from .scope import Scope
from .stats import stats_of
from .tiles import FRESH_SECONDS
from .volume import volume_of

WEEKS_FROM = 21
"""Days of a period that weeks can show a trend of."""
FEW_PER_DAY = 10
"""Below this number of conversations per day, days say little."""
_HOW_VOLUME = (
    "All conversations of the period, whether or not they were analyzed. The cost is that of their "
    "current results."
)


@dataclass(frozen=True, slots=True)
class Headline:
    """The share of some values of a choice field, over its chart: “62% resolved”."""

    word: str
    rate: Rate
    url: str
    before: str
    delta: str
    change: Difference | None


@dataclass(frozen=True, slots=True)
class TilePage:
    """One tile. ``before`` is the previous period in words, ``delta`` the change since then."""

    template: str
    id: str
    scope: Scope
    changes: list[Change]
    chart: Any
    stats: Any = None
    volume: Volume | None = None
    histogram: Any = None
    before: str = ""
    delta: str = ""
    change: Difference | None = None
    rows: list[ShareRow] = field(default_factory=list)
    headline: Headline | None = None

    @property
    def over_time(self) -> str:
        """Name the chart for readers of the screen."""
        return f"{self.stats.field.label if self.stats else 'Conversations'} over time"

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the heads of the table over time, after that of the time."""
        if self.volume:
            return ("Conversations", "Analyzed", "Failed", "Cost")
        if isinstance(self.stats, RateStats):
            return ("Yes", "of", "Rate", "95% interval")
        if isinstance(self.stats, NumberStats):
            return ("Conversations", "Mean")
        return (*(share.label for share in self.stats.shares), "Conversations")

    @property
    def distribution(self) -> str:
        """Name the chart of a distribution."""
        return f"{self.stats.field.label}, distribution"

    @property
    def note(self) -> str:
        """Return what the marks on the time axis are, and which values say little."""
        parts = ["◆ changed prompts or model"] if self.changes else []
        if isinstance(self.chart, LineChart) and any(one.is_small for one in self.chart.marks):
            parts.append(f"ring: fewer than {SMALL} conversations")
        if isinstance(self.chart, BarChart) and any(one.is_small for one in self.chart.bars):
            parts.append(f"pale: fewer than {SMALL} conversations")
        return " · ".join(parts)

    @property
    def how(self) -> str:
        """Return how the numbers are computed."""
        return str(self.stats.field.how) if self.stats else _HOW_VOLUME


def with_readable_buckets(scope: Scope) -> Scope:
    """Return the scope by weeks instead of days where a day has only a few conversations."""
    if scope.buckets[0].size != Size.DAY or scope.period.length < WEEKS_FROM:
        return scope
    rows = scope.rows()
    count = cached(f"insights-count:{scope.key}", FRESH_SECONDS, rows.count)
    if not count or count >= FEW_PER_DAY * len(scope.buckets):
        return scope
    return replace(scope, size=Size.WEEK)


def field_tile(scope: Scope, field: InsightField) -> TilePage:
    """Return the tile of a field."""
    stats, changes = stats_of(scope, field), changes_in(scope)
    tile = tile_id(field.name)
    if isinstance(stats, RateStats):
        return TilePage(
            "insights/tiles/_rate.html", tile, scope, changes, rate_chart(stats, changes), stats,
            before=rate_words(stats.previous) if stats.previous and stats.previous.n else "",
            delta=rate_delta(stats.change), change=stats.change,
        )  # fmt: skip
    if isinstance(stats, NumberStats):
        before = stats.previous.value if stats.previous else None
        return TilePage(
            "insights/tiles/_number.html", tile, scope, changes, number_chart(stats, changes),
            stats, histogram=histogram(stats),
            before="" if before is None else value_words(field, before),
            delta=number_delta(field, stats.change), change=stats.change,
        )  # fmt: skip
    assert isinstance(stats, ChoiceStats)
    return TilePage(
        "insights/tiles/_choice.html", tile, scope, changes, choice_chart(stats, changes), stats,
        rows=share_rows(stats),
    )  # fmt: skip


def volume_tile(scope: Scope) -> TilePage:
    """Return the tile of conversations, failures, and cost."""
    volume, changes = volume_of(scope), changes_in(scope)
    chart = volume_chart(volume, changes)
    return TilePage(
        "insights/tiles/_volume.html", "tile-volume", scope, changes, chart, volume=volume,
        before="" if volume.previous is None else f"{volume.previous:,}",
    )  # fmt: skip


def tile_id(name: str) -> str:
    """Return an id for the page that any name of a field can have."""
    return f"tile-{crc32(name.encode()):08x}"


def changes_in(scope: Scope) -> list[Change]:
    """Return the changes of prompts and models, read once for all tiles of a page."""
    return cached(f"insights-changes:{scope.key}", FRESH_SECONDS, lambda: changes_of(scope))

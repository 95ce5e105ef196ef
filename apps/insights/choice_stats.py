"""Statistics of choice, text, and list fields."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .buckets import Bucket
from .coverage import counts_of
from .field_stats import ChoiceStats, Group, Share, SharePoint
from .fields import FieldType, InsightField
from .groups import SHOWN, by_place, current, groups_of
from .rates import Rate
from .statements import Counted
from .tiles import Tile


def choice_stats(tile: Tile) -> ChoiceStats:
    """Return the shares of values or entries over time. Those of a list can overlap."""
    counts, values = tile.counts, tile.values
    by_value = _by_value(tile.field, values.listed)
    shown = _most_frequent(tile.field, by_value)
    shares = [_share(tile, value, by_value[value]) for value in shown]
    rest = counts.coverage.counted - sum(share.rate.yes for share in shares)
    if tile.field.type != FieldType.LIST and rest > 0:
        rate = Rate(rest, counts.coverage.counted)
        shares.append(Share("", "Other values", rate, is_rest=True))
    found = ChoiceStats(
        tile.field,
        counts.coverage,
        _groups(tile, shown),
        shares=tuple(shares),
        series=tuple(
            _point(tile, place, shares, by_value) for place in range(1, len(tile.scope.buckets) + 1)
        ),
        distinct=values.distinct,
        previous_n=counts.previous if tile.scope.compare else None,
    )
    return _with_any(tile, found) if tile.field.type == FieldType.LIST else found


def _with_any(tile: Tile, stats: ChoiceStats) -> ChoiceStats:
    """Return the statistics of a list with the share of conversations that have an entry."""
    filled = by_place(tile.values.fitting)
    some = Rate(current(filled), stats.n)
    before = Rate(filled.get(0, 0), tile.counts.previous) if tile.scope.compare else None
    # The filter also finds values of another type, which no list of entries is.
    is_exact = not current(by_place(tile.values.other))
    return replace(
        stats,
        any=some,
        any_previous=before,
        any_change=some.since(before) if before else None,
        any_url=tile.scope.url({f"{tile.field.filter_name}__isset": ["true"]}) if is_exact else "",
    )


def _by_value(field: InsightField, listed: Iterable[Counted]) -> dict[str, Counter[Any]]:
    """Return counts by value and place. The schemas' choices are there even with no conversation.

    Spellings of a sentiment that differ in case are one value, as in the filter.
    """
    found: dict[str, Counter[Any]] = {choice: Counter() for choice in field.choices}
    spellings = {choice.casefold(): choice for choice in field.choices}
    for row in sorted(listed, key=lambda one: -one.n):
        value = row.value or ""
        if field.is_column:
            value = spellings.setdefault(value.casefold(), value)
        found.setdefault(value, Counter())[row.place] += row.n
    return found


def _most_frequent(field: InsightField, by_value: Mapping[str, Mapping[Any, int]]) -> list[str]:
    order = {choice: place for place, choice in enumerate(field.choices)}
    ranked = sorted(by_value, key=lambda v: (-current(by_value[v]), order.get(v, len(order)), v))
    return ranked[:SHOWN]


def _share(tile: Tile, value: str, counts: Mapping[Any, int]) -> Share:
    rate = Rate(current(counts), tile.counts.coverage.counted)
    previous = Rate(counts.get(0, 0), tile.counts.previous) if tile.scope.compare else None
    return Share(
        value,
        dict(tile.field.labels).get(value, value),
        rate,
        _url(tile, value),
        previous,
        rate.since(previous) if previous else None,
    )


def _point(
    tile: Tile, place: int, shares: Sequence[Share], by_value: Mapping[str, Mapping[Any, int]]
) -> SharePoint:
    bucket, n = tile.scope.buckets[place - 1], tile.counts.counted.get(place, 0)
    listed = [0 if s.is_rest else by_value[s.value].get(place, 0) for s in shares]
    rest = n - sum(listed)
    return SharePoint(
        bucket,
        n,
        tuple(rest if s.is_rest else c for s, c in zip(shares, listed, strict=True)),
        tuple("" if s.is_rest else _url(tile, s.value, bucket) for s in shares),
    )


def _url(tile: Tile, value: str, bucket: Bucket | None = None) -> str:
    """Return the link of a value; empty for one that no schema has, which filters reject."""
    field = tile.field
    if field.is_closed and value not in field.choices:
        return ""
    operator = "__contains" if field.type == FieldType.LIST else ""
    return tile.scope.url({f"{field.filter_name}{operator}": [value]}, bucket=bucket)


def _groups(tile: Tile, shown: Sequence[str]) -> tuple[Group, ...]:
    if tile.scope.by is None:
        return ()
    by_value = _by_value(tile.field, tile.grouped.listed)
    counted = counts_of(tile.scope, tile.field, tile.grouped).counted
    empty: Counter[Any] = Counter()
    return tuple(
        Group(
            g.value,
            g.label,
            g.n,
            counts=tuple(by_value.get(value, empty).get(g.place, 0) for value in shown),
            url=g.url,
        )
        for g in groups_of(tile.scope, counted)
    )

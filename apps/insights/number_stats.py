"""Statistics of numbers: mean, median, distribution, and their series."""

from typing import Any

from apps.core.histogram import bin_edges, counts_in

from .field_stats import Bin, Group, NumberPoint, NumberStats
from .groups import by_place, current, groups_of
from .rates import Average, sum_of
from .scope import Params
from .statements import Values
from .tiles import Tile


def number_stats(tile: Tile) -> NumberStats:
    """Return mean, median, and distribution, with the series of means and its change."""
    scope, values, counts = tile.scope, tile.values, tile.counts
    averages = _averages(values)
    average = sum_of(one for place, one in averages.items() if place != 0)
    previous = averages.get(0, Average()) if scope.compare else None
    low, high = values.range or (None, None)
    return NumberStats(
        tile.field,
        counts.coverage,
        _groups(tile),
        average=average,
        median=values.medians[1],
        lowest=low,
        highest=high,
        bins=_bins(tile),
        series=tuple(
            NumberPoint(
                bucket,
                averages.get(place, Average()),
                scope.url(_has_number(tile), bucket=bucket),
            )
            for place, bucket in enumerate(scope.buckets, start=1)
        ),
        previous=previous,
        previous_median=values.medians[0] if scope.compare else None,
        change=average.since(previous) if previous else None,
    )


def _averages(values: Values) -> dict[Any, Average]:
    return {one.place: Average(one.n, one.total, one.squares) for one in values.summed}


def _has_number(tile: Tile) -> Params:
    """Return the filter of conversations with a number, not with a value of another type."""
    name, values = tile.field.filter_name, tile.values
    if values.range is None or not current(by_place(values.other)):
        return {f"{name}__isset": ["true"]}
    return {f"{name}__gte": [_number(values.range[0])]}


def _bins(tile: Tile) -> tuple[Bin, ...]:
    values, name = tile.values, tile.field.filter_name
    if values.range is None:
        return ()
    whole = all(value.is_integer() for value, _ in values.numbers)
    edges = bin_edges(*values.range, whole=whole)
    found = []
    for i, n in enumerate(counts_in(edges, values.numbers)):
        low, high = edges[i], edges[i + 1]
        below = "lte" if i == len(edges) - 2 else "lt"
        params = {f"{name}__gte": [_number(low)], f"{name}__{below}": [_number(high)]}
        found.append(Bin(low, high, n, tile.scope.url(params)))
    return tuple(found)


def _number(value: float) -> str:
    """Return a number as a filter takes it: without an exponent where possible."""
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else repr(value)


def _groups(tile: Tile) -> tuple[Group, ...]:
    if tile.scope.by is None:
        return ()
    averages = _averages(tile.grouped)
    return tuple(
        Group(g.value, g.label, g.n, average=averages.get(g.place, Average()), url=g.url)
        for g in groups_of(tile.scope, by_place(tile.grouped.fitting))
    )

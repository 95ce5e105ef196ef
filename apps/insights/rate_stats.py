"""Statistics of yes/no fields."""

from .field_stats import Group, RatePoint, RateStats
from .groups import by_place, current, groups_of
from .rates import Rate
from .tiles import Tile


def rate_stats(tile: Tile) -> RateStats:
    """Return the share of yes, with its series and its change."""
    scope, counts, name = tile.scope, tile.counts, tile.field.filter_name
    yes = by_place(tile.values.listed, "true")
    of_yes, of_both = {name: ["true"]}, {name: ["true", "false"]}
    rate = Rate(current(yes), counts.coverage.counted)
    previous = Rate(yes.get(0, 0), counts.previous) if scope.compare else None
    return RateStats(
        tile.field,
        counts.coverage,
        _groups(tile),
        rate=rate,
        previous=previous,
        change=rate.since(previous) if previous else None,
        series=tuple(
            RatePoint(
                bucket,
                Rate(yes.get(place, 0), counts.counted.get(place, 0)),
                scope.url(of_yes, bucket=bucket),
                scope.url(of_both, bucket=bucket),
            )
            for place, bucket in enumerate(scope.buckets, start=1)
        ),
        yes_url=scope.url(of_yes),
        no_url=scope.url({name: ["false"]}),
    )


def _groups(tile: Tile) -> tuple[Group, ...]:
    if tile.scope.by is None:
        return ()
    yes = by_place(tile.grouped.listed, "true")
    return tuple(
        Group(g.value, g.label, g.n, rate=Rate(yes.get(g.place, 0), g.n), url=g.url)
        for g in groups_of(tile.scope, by_place(tile.grouped.fitting))
    )

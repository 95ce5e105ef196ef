"""Compute the statistics of a scope: one statement per tile, and one more for its breakdown."""

from .choice_stats import choice_stats
from .field_stats import FieldStats
from .fields import FieldType, InsightField
from .number_stats import number_stats
from .rate_stats import rate_stats
from .scope import Scope
from .tiles import Tile


def stats_of(scope: Scope, field: InsightField) -> FieldStats:
    """Return the statistics of a field: a RateStats, a ChoiceStats, or a NumberStats."""
    tile = Tile(scope, field)
    if field.type == FieldType.BOOLEAN:
        return rate_stats(tile)
    return number_stats(tile) if field.type == FieldType.NUMBER else choice_stats(tile)

"""Read what the statistics of one field are made of.

Rows of the database are cached for a minute, not the statistics: links and labels are made at each
request.
"""

from dataclasses import dataclass
from functools import cached_property

from .cache import cached
from .coverage import Counts, counts_of
from .fields import InsightField
from .scope import Scope
from .statements import Bucket, Values, read_values, value_of

FRESH_SECONDS = 60


@dataclass(frozen=True)
class Tile:
    """A field in a scope."""

    scope: Scope
    field: InsightField

    @cached_property
    def values(self) -> Values:
        """Return what the period's conversations say, by bucket; 0 is the previous period."""
        scope, field = self.scope, self.field
        place = Bucket(scope.clock.column, [bucket.start for bucket in scope.buckets])
        return cached(
            f"insights:{scope.key}:{field.filter_name}:{field.type}",
            FRESH_SECONDS,
            lambda: read_values(scope.rows(with_previous=scope.compare), field, place),
        )

    @cached_property
    def grouped(self) -> Values:
        """Return the same by group of the breakdown, of the period alone."""
        scope, field, by = self.scope, self.field, self.scope.by
        assert by is not None
        return cached(
            f"insights-by:{scope.key}:{field.filter_name}:{field.type}",
            FRESH_SECONDS,
            lambda: read_values(scope.rows(), field, value_of(by.source, by.path)),
        )

    @cached_property
    def counts(self) -> Counts:
        return counts_of(self.scope, self.field, self.values)

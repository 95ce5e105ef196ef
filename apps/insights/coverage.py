"""Count the conversations that statistics are of, and those left out, by reason.

Both come from one statement, so that they always add up to the conversations of the period.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from apps.agents.models import AnalysisConfig

from .field_stats import NO_VALUE, NOT_ASKED, OTHER_TYPE, Coverage
from .fields import FieldType, InsightField
from .missing import count_codes, omissions
from .scope import Scope
from .statements import Missing, Values


@dataclass(frozen=True, slots=True)
class Counts:
    """Conversations that count, by place, and those that are left out of the current period."""

    counted: Mapping[Any, int]
    coverage: Coverage

    @property
    def previous(self) -> int:
        return self.counted.get(0, 0)


def counts_of(scope: Scope, field: InsightField, values: Values) -> Counts:
    """Sort every conversation into those that count and those that are left out, and why."""
    counted: Counter[Any] = Counter()
    left_out: Counter[str] = Counter()
    without: list[Missing] = []
    for row in values.fitting:
        counted[row.place] += row.n
    for row in values.other:
        left_out[OTHER_TYPE] += row.n if row.place != 0 else 0
    for row in values.empty:
        if field.type == FieldType.LIST:
            counted[row.place] += row.n
        elif row.place != 0:
            left_out[NO_VALUE] += row.n
    asked = _Asked(field, values.missing)
    for gap in values.missing:
        code = asked.code(gap)
        if not code:
            counted[gap.place] += gap.n
        elif gap.place != 0:
            if code == "unanalyzed":
                without.append(gap)
            else:
                left_out[code] += gap.n
    codes = count_codes((m.state, m.reason, m.is_open, m.n) for m in without)
    n = sum(count for place, count in counted.items() if place != 0)
    total = n + left_out.total() + codes.total()
    return Counts(counted, Coverage(total, n, omissions(scope, codes, left_out), url=scope.url()))


class _Asked:
    """Which results without a value were made by a config that has the field."""

    def __init__(self, field: InsightField, missing: Iterable[Missing]) -> None:
        self.field = field
        self.names = _names_of({m.config for m in missing if m.config is not None})

    def code(self, gap: Missing) -> str:
        """Return why there is no value; empty where that counts as an empty list."""
        if self.field.is_measure:
            return NO_VALUE
        if gap.state != "succeeded":
            return "unanalyzed"
        # A derived list is stored where it applies, also an empty one.
        if self.field.is_column or self.field.is_derived or gap.config is None:
            return NO_VALUE
        if self.field.name not in self.names.get(gap.config, ()):
            return NOT_ASKED
        return "" if self.field.type == FieldType.LIST else NO_VALUE


_known: dict[int, frozenset[str]] = {}


def _names_of(configs: set[int]) -> Mapping[int, frozenset[str]]:
    """Return the names of the fields of configs, which never change."""
    if len(_known) > 20_000:
        _known.clear()
    if unknown := configs - _known.keys():
        for config in AnalysisConfig.objects.filter(pk__in=unknown):
            _known[config.pk] = frozenset(config.parsed().field_names())
    return _known

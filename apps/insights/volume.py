"""Number of conversations, outcome of their analysis, and cost."""

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal

from apps.conversations.models import AnalysisState
from apps.llm.errors import ErrorCode

from .buckets import Bucket as TimeBucket
from .cache import cached
from .field_stats import Coverage, Group, Volume, VolumePoint
from .groups import by_place, groups_of
from .missing import count_codes, omissions
from .scope import Scope
from .statements import Bucket, Counted, Totals, read_totals, value_of
from .tiles import FRESH_SECONDS

_FAILED = {"analysis_state": [AnalysisState.FAILED.value]}


def volume_of(scope: Scope) -> Volume:
    """Return conversations, results, failures by cause, and cost. One statement, or two."""
    totals = _totals(scope)
    now = [one for one in totals if one.place != 0]
    before = [one for one in totals if one.place == 0]
    codes = count_codes(
        (t.state, t.reason, t.is_open, t.n) for t in now if t.state != AnalysisState.SUCCEEDED
    )
    left_out = omissions(scope, codes, Counter())
    total, analyzed = _n(now), _n(now, AnalysisState.SUCCEEDED)
    compared = scope.compare
    return Volume(
        coverage=Coverage(total, analyzed, left_out, url=scope.url()),
        series=tuple(
            _point(scope, bucket, [t for t in now if t.place == place])
            for place, bucket in enumerate(scope.buckets, start=1)
        ),
        failures=tuple(one for one in left_out if one.code in ErrorCode.values),
        cost=_cost(now),
        unpriced=sum(t.unpriced for t in now),
        previous=_n(before) if compared else None,
        previous_analyzed=_n(before, AnalysisState.SUCCEEDED) if compared else None,
        previous_failed=_n(before, AnalysisState.FAILED) if compared else None,
        previous_cost=_cost(before) if compared else None,
        groups=_groups(scope),
    )


def _totals(scope: Scope) -> list[Totals]:
    place = Bucket(scope.clock.column, [bucket.start for bucket in scope.buckets])
    rows = scope.rows(with_previous=scope.compare)
    return cached(f"insights:{scope.key}:", FRESH_SECONDS, lambda: read_totals(rows, place))


def _point(scope: Scope, bucket: TimeBucket, totals: list[Totals]) -> VolumePoint:
    return VolumePoint(
        bucket,
        _n(totals),
        _n(totals, AnalysisState.SUCCEEDED),
        _n(totals, AnalysisState.FAILED),
        _cost(totals),
        sum(t.unpriced for t in totals),
        scope.url(bucket=bucket),
        scope.url(_FAILED, bucket=bucket),
    )


def _groups(scope: Scope) -> tuple[Group, ...]:
    by = scope.by
    if by is None:
        return ()
    totals = cached(
        f"insights-by:{scope.key}:",
        FRESH_SECONDS,
        lambda: read_totals(scope.rows(), value_of(by.source, by.path)),
    )
    counts = by_place(Counted(t.place, t.n) for t in totals)
    return tuple(Group(g.value, g.label, g.n, url=g.url) for g in groups_of(scope, counts))


def _n(totals: Iterable[Totals], state: str = "") -> int:
    return sum(t.n for t in totals if not state or t.state == state)


def _cost(totals: Iterable[Totals]) -> Decimal:
    return sum((t.cost for t in totals), Decimal(0))

"""Every number of a ready view, counted again by plain SQL that shares nothing with its own."""

from datetime import datetime
from typing import Any

import pytest
from django.db import connection

from apps.agents.models import AnalysisConfig
from apps.insights.field_stats import ChoiceStats, Coverage, NumberStats, RateStats
from apps.insights.fields import FieldType, InsightField
from apps.insights.scope import Scope
from apps.insights.use_case_pages import USE_CASES, Panel, panel_of

from .generated import opened_by

_EMPTY = """('null', '""', '[]', '{}')"""
_JSON_TYPE = {"boolean": "boolean", "number": "number", "list": "array"}
_UNANALYZED = """
CASE WHEN analysis_state IN ('pending', 'running') THEN analysis_state
  WHEN analysis_state = 'failed' THEN analysis_reason
  WHEN analysis_reason <> '' THEN analysis_reason
  WHEN status IN ('registered', 'ongoing') THEN 'not_ended' ELSE 'none' END
"""
Rows = list[tuple[Any, ...]]


class Plain:
    """Plain SQL over the conversations of a scope without filters."""

    def __init__(self, scope: Scope) -> None:
        assert not scope.spec.conditions
        self.scope = scope

    def rows(
        self, select: str, *, during: tuple[datetime, datetime] | None = None, tail: str = ""
    ) -> Rows:
        start, end = during or (self.scope.period.start, self.scope.period.end)
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {select} FROM conversations_conversation WHERE channel = %s"
                f" AND sort_at >= %s AND sort_at < %s {tail}",
                [self.scope.channel, start, end],
            )
            found: Rows = cursor.fetchall()
            return found

    def one(self, select: str, during: tuple[datetime, datetime] | None = None) -> tuple[Any, ...]:
        return self.rows(select, during=during)[0]


class PlainField:
    """The SQL of one field: its JSON value, and which conversations have one that counts."""

    def __init__(self, field: InsightField) -> None:
        self.field = field
        name = field.path.replace("'", "''").replace("%", "%%")
        if field.is_column:
            column = f"NULLIF({name}, '')" if name == "sentiment" else name
            self.value = f"to_jsonb({column})"
        else:
            self.value = f"analysis_data -> '{name}'"
        self.text = f"{self.value} #>> '{{}}'"
        asking = [
            c.pk for c in AnalysisConfig.objects.all() if field.name in c.parsed().field_names()
        ]
        listed = ", ".join(str(pk) for pk in asking) or "NULL"
        self.missing = f"({self.value}) IS NULL"
        analyzed = f"{self.missing} AND analysis_state = 'succeeded'"
        self.unanalyzed = f"{self.missing} AND analysis_state <> 'succeeded'"
        asked = f"{analyzed} AND analysis_config_id IN ({listed})"
        is_json = not field.is_column
        self.not_asked = (
            f"{analyzed} AND analysis_config_id IS NOT NULL AND NOT coalesce(analysis_config_id IN"
            f" ({listed}), false)"
            if is_json and not field.is_derived
            else "false"
        )
        empty = f"({self.value}) IN {_EMPTY}"
        of_type = f"jsonb_typeof({self.value}) = '{_JSON_TYPE.get(field.type, 'string')}'"
        self.filled = f"{of_type} AND NOT {empty}"
        self.other = f"{self.missing} IS FALSE AND NOT {of_type} AND NOT {empty}"
        nothing = f"({empty} OR ({analyzed} AND NOT ({self.not_asked})))"
        if field.type == FieldType.LIST:
            self.counts = f"({self.filled} OR {empty} OR ({asked}))"
            self.no_value = f"{analyzed} AND analysis_config_id IS NULL"
        else:
            self.counts = f"({self.filled})"
            self.no_value = nothing


def check_view(key: str, scope: Scope) -> int:
    """Count each number of each panel of a view again; return how many panels had some."""
    checked = 0
    for name in USE_CASES[key].panels:
        panel, plain = panel_of(USE_CASES[key], name, scope, {}), Plain(scope)
        if panel.tile:
            _check_stats(plain, panel.tile.stats)
            _check_headline(plain, panel)
        for check in panel.checks:
            _check_failed(plain, check)
        if panel.listed:
            _check_list(plain, panel)
        checked += bool(panel.tile or panel.checks or panel.listed)
    return checked


def _check_stats(plain: Plain, stats: Any) -> None:
    field = PlainField(stats.field)
    _check_left_out(plain, field, stats.coverage)
    if isinstance(stats, RateStats):
        _check_rate(plain, field, stats)
    elif isinstance(stats, NumberStats):
        _check_number(plain, field, stats)
    else:
        assert isinstance(stats, ChoiceStats)
        _check_choice(plain, field, stats)


def _check_left_out(plain: Plain, field: PlainField, coverage: Coverage) -> None:
    """Every conversation counts, or is left out for exactly one reason."""
    total, counted, other, none, not_asked = plain.one(
        ", ".join(
            ["count(*)"]
            + [
                f"count(*) FILTER (WHERE {one})"
                for one in (field.counts, field.other, field.no_value, field.not_asked)
            ]
        )
    )
    expected: dict[str, int] = dict(
        plain.rows(f"{_UNANALYZED}, count(*)", tail=f"AND {field.unanalyzed} GROUP BY 1")
    )
    expected |= {"other_type": other, "no_value": none, "not_asked": not_asked}
    assert {o.code: o.n for o in coverage.left_out} == {c: n for c, n in expected.items() if n}
    assert (coverage.total, coverage.counted) == (total, counted)
    assert coverage.counted + sum(o.n for o in coverage.left_out) == total
    assert opened_by(coverage.url) == total
    for omission in coverage.left_out:
        assert not omission.url or opened_by(omission.url) == omission.n, omission


def _check_rate(plain: Plain, field: PlainField, stats: RateStats) -> None:
    counts = (
        f"count(*) FILTER (WHERE {field.value} = 'true'), count(*) FILTER (WHERE {field.filled})"
    )
    yes, n = plain.one(counts)
    assert (stats.rate.yes, stats.rate.n) == (yes, n)
    assert (opened_by(stats.yes_url), opened_by(stats.no_url)) == (yes, n - yes)
    assert stats.previous
    assert (stats.previous.yes, stats.previous.n) == plain.one(counts, plain.scope.previous)
    for point in stats.series:
        yes, n = plain.one(counts, (point.bucket.start, point.bucket.end))
        assert (point.rate.yes, point.rate.n) == (yes, n), point.bucket.title
        assert (opened_by(point.url), opened_by(point.all_url)) == (yes, n)


def _check_choice(plain: Plain, field: PlainField, stats: ChoiceStats) -> None:
    listed = [share for share in stats.shares if not share.is_rest]
    now, before = _by_value(plain, field), _by_value(plain, field, plain.scope.previous)
    n, filled = plain.one(f"{_n(field.counts)}, {_n(field.filled)}")
    assert (stats.n, stats.distinct) == (
        n,
        len(now) if not field.field.is_column else stats.distinct,
    )
    frequent = sorted(now.values(), reverse=True)[: len(listed)]
    assert [share.rate.yes for share in listed if share.rate.yes] == frequent
    for share in listed:
        assert (share.rate.yes, share.rate.n) == (now.get(_same(field, share.value), 0), n)
        assert share.previous
        assert share.previous.yes == before.get(_same(field, share.value), 0)
        assert not share.url or opened_by(share.url) == share.rate.yes
    (previous_n,) = plain.one(_n(field.counts), plain.scope.previous)
    assert stats.previous_n == previous_n
    if field.field.type == FieldType.LIST:
        assert stats.any
        assert stats.any_previous
        assert (stats.any.yes, stats.any.n) == (filled, n)
        (some,) = plain.one(_n(field.filled), plain.scope.previous)
        assert (stats.any_previous.yes, stats.any_previous.n) == (some, previous_n)
        assert not stats.any_url or opened_by(stats.any_url) == filled
    else:
        assert sum(share.rate.yes for share in stats.shares) == n
    for point in stats.series:
        during = (point.bucket.start, point.bucket.end)
        of_bucket = _by_value(plain, field, during)
        assert point.n == plain.one(_n(field.counts), during)[0]
        for share, count, url in zip(stats.shares, point.counts, point.urls, strict=True):
            if not share.is_rest:
                assert count == of_bucket.get(_same(field, share.value), 0)
            assert not url or opened_by(url) == count


def _by_value(
    plain: Plain, field: PlainField, during: tuple[datetime, datetime] | None = None
) -> dict[str, int]:
    """Return conversations by value, or by entry of a list."""
    if field.field.type != FieldType.LIST:
        text = f"lower({field.text})" if field.field.is_column else field.text
        rows = plain.rows(f"{text}, count(*)", during=during, tail=f"AND {field.filled} GROUP BY 1")
        return dict(rows)
    entries = (
        f"SELECT DISTINCT e #>> '{{}}' FROM jsonb_array_elements(CASE WHEN {field.filled}"
        f" THEN {field.value} ELSE '[]' END) AS e WHERE jsonb_typeof(e) <> 'object'"
    )
    found: dict[str, int] = {}
    for (members,) in plain.rows(f"ARRAY({entries})", during=during):
        for member in members:
            found[member] = found.get(member, 0) + 1
    return found


def _check_number(plain: Plain, field: PlainField, stats: NumberStats) -> None:
    x = f"(CASE WHEN {field.filled} THEN ({field.text})::float8 END)"
    numbers = f"count({x}), avg({x}), percentile_cont(0.5) WITHIN GROUP (ORDER BY {x})"
    n, mean, median, low, high = plain.one(f"{numbers}, min({x}), max({x})")
    assert (stats.n, stats.average.n) == (n, n)
    assert (stats.average.value, stats.median) == (_near(mean), _near(median))
    assert (stats.lowest, stats.highest) == (low, high)
    assert stats.previous
    n_before, mean_before, median_before = plain.one(numbers, plain.scope.previous)
    assert stats.previous.n == n_before
    assert (stats.previous.value, stats.previous_median) == (
        _near(mean_before),
        _near(median_before),
    )
    assert sum(one.n for one in stats.bins) == n
    for place, one in enumerate(stats.bins, start=1):
        below = "<=" if place == len(stats.bins) else "<"
        (expected,) = plain.one(_n(f"{x} >= {one.low} AND {x} {below} {one.high}"))
        assert one.n == expected == opened_by(one.url)
    for point in stats.series:
        n, mean, _ = plain.one(numbers, (point.bucket.start, point.bucket.end))
        assert (point.average.n, point.average.value) == (n, _near(mean))
        assert opened_by(point.url) == n


def _check_headline(plain: Plain, panel: Panel) -> None:
    one = panel.tile.headline if panel.tile else None
    if one is None or panel.tile is None:
        return
    field = PlainField(panel.tile.stats.field)
    words = {"resolution": "('resolved', 'yes')", "lead_quality": "('hot', 'warm')"}[panel.name]
    yes, n = plain.one(f"{_n(f'lower({field.text}) IN {words}')}, {_n(field.filled)}")
    assert (one.rate.yes, one.rate.n) == (yes, n)
    assert opened_by(one.url) == yes


def _check_failed(plain: Plain, check: Any) -> None:
    field = PlainField(check.field)
    failing, counts = f"{field.value} = 'false'", field.filled
    if check.field.type == FieldType.LIST:  # of the checks of a scorecard that failed
        failing, counts = f"{field.value} @> to_jsonb(ARRAY['{check.label}'])", field.counts
    failed, n = plain.one(f"{_n(failing)}, {_n(counts)}")
    assert (check.failed.yes, check.failed.n) == (failed, n)
    assert opened_by(check.url) == failed


def _check_list(plain: Plain, panel: Panel) -> None:
    """The count of a list, the conversations it shows in their order, and its link."""
    assert panel.listed
    assert panel.filled
    assert panel.filled.field
    field = PlainField(panel.filled.field)
    order = "sort_at DESC, id DESC"
    if panel.name == "queue":
        condition = f"{field.value} = 'true'"
        assert panel.rate
        assert (panel.rate.yes, panel.rate.n) == plain.one(f"{_n(condition)}, {_n(field.filled)}")
        assert panel.open_follow_ups == _open_follow_ups(plain)
    elif panel.name == "hot_leads":
        condition = f"lower({field.text}) = 'hot'"
    else:
        condition = f"({field.value}) IS NOT NULL AND ({field.value}) NOT IN {_EMPTY}"
        order = f"({field.value}), id DESC"
    ids = [pk for (pk,) in plain.rows("id", tail=f"AND {condition}")]
    assert panel.listed.count == len(ids) == opened_by(panel.listed.url)
    if panel.name == "worst":
        condition = field.filled
    first = plain.rows("id", tail=f"AND {condition} ORDER BY {order} LIMIT 6")
    assert [c.pk for c in panel.listed.conversations] == [pk for (pk,) in first]


def _open_follow_ups(plain: Plain) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM follow_ups_followup f JOIN conversations_conversation c"
            " ON c.id = f.conversation_id WHERE f.done_at IS NULL AND c.channel = %s",
            [plain.scope.channel],
        )
        return int(cursor.fetchone()[0])


def _n(condition: str) -> str:
    return f"count(*) FILTER (WHERE {condition})"


def _same(field: PlainField, value: str) -> str:
    return value.casefold() if field.field.is_column else value


def _near(value: float | None) -> Any:
    return None if value is None else pytest.approx(value)

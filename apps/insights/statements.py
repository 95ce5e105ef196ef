"""SQL behind the statistics: one pass over the conversations of a period per tile.

Every statement first groups the rows by place and value, which PostgreSQL does with parallel
workers, and then reads only the groups. A *place* is a bucket of time or a group of the breakdown.
Filters are the queryset's own SQL. Keys and values are parameters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import connection, transaction
from django.db.models import (
    CharField,
    Count,
    DateTimeField,
    F,
    Func,
    IntegerField,
    Sum,
    TextField,
    Value,
)
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Coalesce, NullIf

from apps.conversations.models import OPEN, Conversation, ConversationQuerySet
from apps.core.database import sql_of

from .fields import FieldType, InsightField, Source

MANY = 60
"""Values or entries that are counted by name, the most frequent of the current period first."""
FEW_NUMBERS = 5_000
"""Up to this many different numbers are read one by one; more are rounded down to a fine step."""


class Bucket(Func):
    """The number of a row's bucket from 1; 0 for the previous period."""

    function = "width_bucket"
    output_field = IntegerField()

    def __init__(self, column: str, starts: Sequence[datetime]) -> None:
        thresholds = Value(list(starts), output_field=ArrayField(DateTimeField()))
        super().__init__(F(column), thresholds)


class _Key(Func):
    """A key of the result's object, as JSON."""

    template = "(%(expressions)s)"
    arg_joiner = " -> "
    output_field = TextField()

    def __init__(self, key: str) -> None:
        super().__init__(F("analysis_data"), Value(key, output_field=TextField()))


class _Json(Func):
    """A column as JSON, so that one statement serves columns and keys."""

    function = "to_jsonb"
    output_field = TextField()


def value_of(source: Source, path: str) -> Combinable:
    """Return the JSON of a value as an expression; SQL null where there is none."""
    if source == Source.RESULT:
        return _Key(path)
    if "__" not in path and isinstance(Conversation._meta.get_field(path), CharField):
        return _Json(NullIf(F(path), Value("")))
    return _Json(F(path))


@dataclass(frozen=True, slots=True)
class Missing:
    """Conversations of a place without a value: the state of their analysis and its config."""

    place: Any
    n: int
    state: str
    reason: str
    is_open: bool
    config: int | None


@dataclass(frozen=True, slots=True)
class Counted:
    """``n`` conversations of a place, with one value where there is one."""

    place: Any
    n: int
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Summed:
    """The numbers of a place, with the sum of their squares."""

    place: Any
    n: int
    total: float
    squares: float


@dataclass(slots=True)
class Values:
    """What one statement returns for a field.

    Each conversation is in exactly one of ``missing``, ``empty`` (a value that says nothing),
    ``other`` (of another type), and ``fitting``. ``listed`` counts those of ``fitting`` by value or
    entry, as far as it is among the most frequent. ``numbers`` are those of the current period in
    ascending order with their counts; ``medians`` are of (previous, current).
    """

    missing: list[Missing] = dataclass_field(default_factory=list)
    empty: list[Counted] = dataclass_field(default_factory=list)
    other: list[Counted] = dataclass_field(default_factory=list)
    fitting: list[Counted] = dataclass_field(default_factory=list)
    listed: list[Counted] = dataclass_field(default_factory=list)
    distinct: int = 0
    summed: list[Summed] = dataclass_field(default_factory=list)
    numbers: list[tuple[float, int]] = dataclass_field(default_factory=list)
    medians: tuple[float | None, float | None] = (None, None)
    range: tuple[float, float] | None = None


def read_values(rows: ConversationQuerySet, field: InsightField, place: Combinable) -> Values:
    """Return what the rows hold of a field, by place. One statement."""
    kind, value = field.type, value_of(field.source, field.path)
    columns = {"place": place, "k": _key_or_gap(value)}
    grouped = _GROUPED
    if field.step > 1:
        rounded = _Json(F(field.path) / field.step * field.step)
        columns = {"place": place, "k": _key_or_gap(rounded), "exact": F(field.path)}
        grouped = _GROUPED_BY_STEP
    inner, params = sql_of(rows.order_by().annotate(**columns).values(*columns))
    outer = {FieldType.LIST: _LIST, FieldType.NUMBER: _NUMBER}.get(kind, _CHOICE)
    if kind == FieldType.NUMBER and not isinstance(place, Bucket):
        outer = f"{_X} {_SUMS}"
    outer = outer.replace("[is_current]", "place > 0" if isinstance(place, Bucket) else "true")
    if kind in _JSON_TYPES:
        params = (*params, _JSON_TYPES[kind])
    found = Values()
    for what, *row in _in_parallel(f"{grouped.format(rows=inner)} {outer}", params):
        _READERS[what](found, *row)
    found.numbers.sort()
    return found


def _key_or_gap(value: Combinable) -> Combinable:
    """Return a value as JSON text, or the state of a conversation without one after a bar.

    One text is the cheapest thing to group by: JSON is hashed slowly, and reading the key twice
    would cost as much as the rest of the row.
    """
    known = ("analysis_state", "status", "analysis_reason", "analysis_config_id")
    parts = [Value(""), *(F(name) for name in known)]
    state = Func(Value("|"), *parts, function="concat_ws", output_field=TextField())
    return Coalesce(Cast(value, TextField()), state)


def _in_parallel(statement: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run a statement with parallel workers.

    The planner can't know how few values a key of JSON has. It expects one group per few rows, and
    that passing those on costs more than a second worker saves.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('parallel_setup_cost', '0', true),"
            " set_config('parallel_tuple_cost', '0', true)"
        )
        cursor.execute(statement, params)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


_JSON_TYPES = {
    FieldType.BOOLEAN: "boolean",
    FieldType.CHOICE: "string",
    FieldType.TEXT: "string",
}
_EMPTY = """('null', '""', '[]', '{}')"""
_GROUPED = """
WITH g AS MATERIALIZED (
  SELECT place, CASE WHEN k NOT LIKE '|%%' THEN k::jsonb END AS v,
    CASE WHEN k LIKE '|%%' THEN substr(k, 2) END AS gap, n, NULL::float8 AS total,
    NULL::float8 AS squares
  FROM (SELECT place, k, count(*) AS n FROM ({rows}) AS r GROUP BY 1, 2) AS grouped
)
"""
_GROUPED_BY_STEP = """
WITH g AS MATERIALIZED (
  SELECT place, CASE WHEN k NOT LIKE '|%%' THEN k::jsonb END AS v,
    CASE WHEN k LIKE '|%%' THEN substr(k, 2) END AS gap, n, total, squares
  FROM (
    SELECT place, k, count(*) AS n, sum(exact::float8) AS total,
      sum(exact::float8 * exact::float8) AS squares
    FROM ({rows}) AS r GROUP BY 1, 2
  ) AS grouped
)
"""
_MISSING = """
SELECT 'missing', place, n, gap, NULL, NULL::boolean FROM g WHERE v IS NULL
"""
_CHOICE = f"""
, k AS MATERIALIZED (
  SELECT place, v, n, CASE WHEN v IN {_EMPTY} THEN 'empty' WHEN jsonb_typeof(v) = %s THEN 'fitting'
    ELSE 'other' END AS what
  FROM g WHERE v IS NOT NULL
), top AS (
  SELECT v FROM k WHERE what = 'fitting' GROUP BY v
  ORDER BY sum(n) FILTER (WHERE [is_current]) DESC NULLS LAST, v LIMIT {MANY}
)
{_MISSING} UNION ALL
SELECT what, place, sum(n)::bigint, NULL, NULL, NULL FROM k GROUP BY 1, 2 UNION ALL
SELECT 'listed', place, n, v #>> '{{}}', NULL, NULL FROM k WHERE v IN (SELECT v FROM top)
UNION ALL
SELECT 'distinct', NULL, count(DISTINCT v), NULL, NULL, NULL FROM k
WHERE what = 'fitting' AND [is_current]
"""
_LIST = f"""
, e AS MATERIALIZED (
  SELECT place, entry, n FROM g CROSS JOIN LATERAL (
    SELECT DISTINCT x #>> '{{}}' AS entry
    FROM jsonb_array_elements(CASE WHEN jsonb_typeof(v) = 'array' THEN v ELSE '[]' END) AS x
    WHERE jsonb_typeof(x) IN ('string', 'number', 'boolean')
  ) AS entries WHERE v IS NOT NULL
), top AS (
  SELECT entry FROM e GROUP BY entry
  ORDER BY sum(n) FILTER (WHERE [is_current]) DESC NULLS LAST, entry LIMIT {MANY}
)
{_MISSING} UNION ALL
SELECT CASE WHEN v IN {_EMPTY} THEN 'empty' WHEN jsonb_typeof(v) = 'array' THEN 'fitting'
  ELSE 'other' END, place, sum(n)::bigint, NULL, NULL, NULL
FROM g WHERE v IS NOT NULL GROUP BY 1, 2 UNION ALL
SELECT 'listed', place, sum(n)::bigint, entry, NULL, NULL
FROM e WHERE entry IN (SELECT entry FROM top) GROUP BY place, entry UNION ALL
SELECT 'distinct', NULL, count(DISTINCT entry), NULL, NULL, NULL FROM e
WHERE [is_current]
"""
# A number that a double can't hold counts as another type.
_X = f"""
, x AS MATERIALIZED (
  SELECT place, n, total, squares, v IN {_EMPTY} AS is_empty,
    CASE WHEN jsonb_typeof(v) = 'number' THEN
      CASE WHEN abs(v::numeric) < 1e300 THEN v::float8 END END AS x
  FROM g WHERE v IS NOT NULL
)
"""
_SUMS = f"""
{_MISSING} UNION ALL
SELECT CASE WHEN x IS NOT NULL THEN 'fitting' WHEN is_empty THEN 'empty' ELSE 'other' END, place,
  sum(n)::bigint, NULL, NULL, NULL FROM x GROUP BY 1, 2 UNION ALL
SELECT 'summed', place, sum(n)::bigint, sum(coalesce(total, x * n))::text,
  sum(coalesce(squares, x * x * n))::text, NULL
FROM x WHERE x IS NOT NULL GROUP BY place
"""
_NUMBER = f"""
{_X}, d AS MATERIALIZED (
  SELECT place > 0 AS is_current, x, sum(n)::bigint AS n FROM x WHERE x IS NOT NULL GROUP BY 1, 2
), ranked AS (
  SELECT is_current, x, n, (sum(n) OVER (PARTITION BY is_current ORDER BY x))::bigint AS upto,
    (sum(n) OVER (PARTITION BY is_current))::bigint AS total FROM d
), step AS (
  SELECT CASE WHEN count(*) > {FEW_NUMBERS} THEN
    power(10, floor(log((max(x) - min(x))::numeric / 1000))) END AS size FROM d WHERE is_current
)
{_SUMS} UNION ALL
SELECT 'number', NULL, sum(n)::bigint,
  (CASE WHEN size IS NULL THEN x ELSE (floor(x::numeric / size) + 0.5) * size END)::text,
  NULL, NULL
FROM d CROSS JOIN step WHERE is_current GROUP BY 4 UNION ALL
SELECT 'median', NULL, NULL, avg(x)::text, NULL, is_current FROM ranked
WHERE (upto - n < (total + 1) / 2 AND (total + 1) / 2 <= upto)
  OR (upto - n < total / 2 + 1 AND total / 2 + 1 <= upto)
GROUP BY is_current UNION ALL
SELECT 'range', NULL, NULL, min(x)::text, max(x)::text, NULL FROM d WHERE is_current
HAVING count(*) > 0
"""


def _median(found: Values, _: object, __: object, x: str, *rest: Any) -> None:
    before, now = found.medians
    found.medians = (before, float(x)) if rest[1] else (float(x), now)


def _distinct(found: Values, _: object, n: int, *rest: object) -> None:
    found.distinct = n


def _range(found: Values, _: object, __: object, low: str, high: str, *rest: object) -> None:
    found.range = (float(low), float(high))


def _missing(place: Any, n: int, gap: str) -> Missing:
    state, status, reason, *config = gap.split("|", 3)
    return Missing(place, n, state, reason, status in OPEN, int(config[0]) if config else None)


_READERS: dict[str, Callable[..., None]] = {
    "missing": lambda found, place, n, gap, *_: found.missing.append(_missing(place, n, gap)),
    "empty": lambda found, place, n, *_: found.empty.append(Counted(place, n)),
    "other": lambda found, place, n, *_: found.other.append(Counted(place, n)),
    "fitting": lambda found, place, n, *_: found.fitting.append(Counted(place, n)),
    "listed": lambda found, place, n, text, *_: found.listed.append(Counted(place, n, text)),
    "distinct": _distinct,
    "summed": lambda found, place, n, total, squares, *_: found.summed.append(
        Summed(place, n, float(total), float(squares))
    ),
    "number": lambda found, _, n, x, *__: found.numbers.append((float(x), n)),
    "median": _median,
    "range": _range,
}


@dataclass(frozen=True, slots=True)
class Totals:
    """Conversations of a place in one state, with the cost of their results."""

    place: Any
    state: str
    reason: str
    is_open: bool
    n: int
    cost: Decimal
    unpriced: int


def read_totals(rows: ConversationQuerySet, place: Combinable) -> list[Totals]:
    """Return how many conversations there are, by place and state of their analysis."""
    found = (
        rows.order_by()
        .annotate(place=place)
        .values("place", "analysis_state", "analysis_reason", "status")
        .annotate(n=Count("*"), cost=Sum("analysis_cost"), priced=Count("analysis_cost"))
        .values_list("place", "analysis_state", "analysis_reason", "status", "n", "cost", "priced")
    )
    return [
        Totals(
            place,
            state,
            reason,
            status in OPEN,
            n,
            cost or Decimal(0),
            n - priced if state == "succeeded" else 0,
        )
        for place, state, reason, status, n, cost, priced in _in_parallel(*sql_of(found))
    ]

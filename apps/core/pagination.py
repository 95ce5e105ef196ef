"""Keyset pagination: page 10,000 costs what page 1 costs, and no row is shown twice or missed.

A cursor holds the sort values of the row next to the page; the next page starts behind them with
a comparison of rows, `(sort_at, id) < (…, …)`, which an index on the same columns serves. An
OFFSET would read and throw away everything before it.

Rows whose first sort value is null always come last, in either direction. They are asked for in
a query of their own, so that one plain index `(column, id)` serves both directions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from operator import attrgetter
from typing import Any, Generic, TypeVar, cast
from uuid import UUID

from django.core import signing
from django.core.exceptions import FieldDoesNotExist
from django.db.models import F, Field, Func, Model, Q, QuerySet, Value
from django.db.models.expressions import OrderBy
from django.db.models.lookups import GreaterThan, LessThan

from apps.core.errors import BadRequest, Example

M = TypeVar("M", bound=Model)

Scalar = bool | int | float | str | Decimal | datetime | date | UUID | None

_signer = signing.Signer(salt="debrief.cursor", sep=".")


class CursorError(BadRequest):
    """The cursor was not made here, or belongs to another sort order."""

    code = "invalid_cursor"
    example = Example("This page link is invalid or has expired. Start again from the first page.")


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """One page: its rows, and the cursors of the pages next to it (None where there is none)."""

    items: list[M]
    next_cursor: str | None
    previous_cursor: str | None


@dataclass(frozen=True, slots=True)
class Column:
    """One sort column and its direction."""

    name: str
    descending: bool

    @classmethod
    def parse(cls, entry: str) -> "Column":
        """From Django's way of writing it: `-started_at`."""
        return cls(entry.removeprefix("-"), entry.startswith("-"))

    def reversed(self) -> "Column":
        """Return the same column, the other way round."""
        return Column(self.name, not self.descending)


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page starts: next to the row with these values, going on or going back."""

    order: tuple[str, ...]
    values: tuple[Scalar, ...]
    back: bool

    def encode(self) -> str:
        """Return an opaque, signed text for URLs; no one can make the database compare nonsense."""
        packed = [list(self.order), [_pack(value) for value in self.values], int(self.back)]
        return _signer.sign_object(packed)

    @classmethod
    def decode(cls, text: str, order: tuple[str, ...]) -> "Cursor":
        """Read `text` back. Raises CursorError if it is broken or was made for another order."""
        try:
            made_for, values, back = _signer.unsign_object(text)
        except (signing.BadSignature, ValueError) as error:
            raise CursorError(
                "This page link is invalid or has expired. Start again from the first page."
            ) from error
        if tuple(made_for) != order:
            raise CursorError(
                "This cursor belongs to a different sort order. Start again from the first page."
            )
        return cls(order, tuple(_unpack(*value) for value in values), bool(back))


def page(
    queryset: QuerySet[M], *, order: Sequence[str], cursor: str | None = None, limit: int = 50
) -> Page[M]:
    """Return the `limit` rows of `queryset` at `cursor` (None: the first ones), in `order`.

    `order` is written as for `order_by`; names may be annotations or follow relations. The
    primary key is added at the end, in the direction of the column before it. Only the first
    column may hold nulls. Text columns to sort by should be short: their value is in the cursor.

    Raises CursorError for a cursor that is broken or was made for another order.
    """
    columns = _with_pk(queryset.model, order)
    names = tuple(("-" if column.descending else "") + column.name for column in columns)
    start = Cursor.decode(cursor, names) if cursor else None
    back = start is not None and start.back
    walk = [column.reversed() for column in columns] if back else columns

    items: list[M] = []
    for part in _parts(queryset, walk, start.values if start else None, nulls_first=back):
        items += part[: limit + 1 - len(items)]
        if len(items) > limit:
            break
    more = len(items) > limit
    items = items[:limit]
    if back:
        items.reverse()

    def beside(item: M, *, back: bool) -> str:
        values = tuple(cast("Scalar", _value(item, column.name)) for column in columns)
        return Cursor(names, values, back).encode()

    has_next = bool(items) and (back or more)
    has_previous = bool(items) and (more if back else start is not None)
    return Page(
        items,
        beside(items[-1], back=False) if has_next else None,
        beside(items[0], back=True) if has_previous else None,
    )


def page_by_keys(
    keys: QuerySet[M],
    rows: QuerySet[M],
    *,
    order: Sequence[str],
    cursor: str | None = None,
    limit: int = 50,
) -> Page[M]:
    """Return a page of `rows`, found over `keys`: the same rows with only their order.

    A sort by a column without an index would else carry every column of every row. Only the
    page's own rows are read whole. Raises CursorError as `page`.
    """
    found = page(keys, order=order, cursor=cursor, limit=limit)
    whole = rows.in_bulk([row.pk for row in found.items])
    items = [whole[row.pk] for row in found.items if row.pk in whole]
    return Page(items, found.next_cursor, found.previous_cursor)


def _with_pk(model: type[Model], order: Sequence[str]) -> list[Column]:
    """The order's columns, the primary key last: a total order, so that no row has a twin."""
    columns = [Column.parse(entry) for entry in order]
    pk = model._meta.pk.name
    for at, column in enumerate(columns):
        if column.name in {"pk", pk}:
            return [*columns[:at], Column(pk, column.descending)]
    for column in columns[1:]:
        if _may_be_null(model, column.name):
            raise ValueError(f"Only the first sort column may hold nulls, not {column.name}.")
    return [*columns, Column(pk, bool(columns) and columns[-1].descending)]


def _may_be_null(model: type[Model], name: str) -> bool:
    """Whether rows may lack this value; of annotations and relations one cannot know: yes."""
    try:
        return bool(getattr(model._meta.get_field(name), "null", True))
    except FieldDoesNotExist:
        return True


def _parts(
    queryset: QuerySet[M],
    columns: list[Column],
    values: tuple[Scalar, ...] | None,
    *,
    nulls_first: bool,
) -> Iterator[QuerySet[M]]:
    """The rows behind `values` (None: all) in one or two queries: with a first value, without."""
    first, rest = columns[0], columns[1:]
    if not _may_be_null(queryset.model, first.name):
        yield _ordered(queryset, columns, values)
        return
    has_none = Q(**{f"{first.name}__isnull": True})
    present, absent = queryset.exclude(has_none), queryset.filter(has_none)
    if values is None:
        yield _ordered(present, columns, None)
        yield _ordered(absent, rest, None)
    elif values[0] is None:
        yield _ordered(absent, rest, values[1:])
        if nulls_first:
            yield _ordered(present, columns, None)
    else:
        yield _ordered(present, columns, values)
        if not nulls_first:
            yield _ordered(absent, rest, None)


def _ordered(
    queryset: QuerySet[M], columns: list[Column], values: tuple[Scalar, ...] | None
) -> QuerySet[M]:
    if values is not None:
        queryset = queryset.filter(_behind(columns, values))
    return queryset.order_by(*(OrderBy(F(c.name), descending=c.descending) for c in columns))


class _Row(Func):
    """`ROW(a, b)`, which PostgreSQL compares from left to right and finds in an index."""

    function = "ROW"
    output_field: "Field[Any, Any]" = Field()


def _behind(columns: list[Column], values: tuple[Scalar, ...]) -> Q:
    """Return the rows that come after `values` when read in this order."""
    pairs = list(zip(columns, values, strict=True))
    if all(a.descending == b.descending for a, b in pairwise(columns)):
        compare = LessThan if columns[0].descending else GreaterThan
        row = _Row(*(F(column.name) for column in columns))
        return Q(compare(row, _Row(*(Value(value) for value in values))))
    condition = Q()
    for column, value in reversed(pairs):
        beyond = Q(**{f"{column.name}__{'lt' if column.descending else 'gt'}": value})
        equal = Q(**{column.name: value})
        condition = beyond | (equal & condition) if condition else beyond
    return condition


def _value(item: Model, name: str) -> object:
    return attrgetter(name.replace("__", "."))(item)


def _pack(value: Scalar) -> list[str | int | float | bool | None]:
    """JSON knows fewer types than columns do; a letter says which one it was."""
    match value:
        case datetime():
            return ["t", value.isoformat()]
        case date():
            return ["d", value.isoformat()]
        case Decimal():
            return ["n", str(value)]
        case UUID():
            return ["u", str(value)]
        case _:
            return ["", value]


def _unpack(kind: str, value: Scalar, /) -> Scalar:
    match kind:
        case "t":
            return datetime.fromisoformat(str(value))
        case "d":
            return date.fromisoformat(str(value))
        case "n":
            return Decimal(str(value))
        case "u":
            return UUID(str(value))
        case _:
            return value

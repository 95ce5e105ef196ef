"""What errors of the database mean, and many rows or keys in one short statement."""

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

from django.db import (
    DEFAULT_DB_ALIAS,
    DatabaseError,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)
from django.db.models import (
    BooleanField,
    CharField,
    DateTimeField,
    Field,
    ForeignKey,
    IntegerField,
    JSONField,
    Model,
    QuerySet,
    TextField,
)
from django.db.models.expressions import DatabaseDefault

logger = logging.getLogger(__name__)

#: Classes of SQLSTATE after which the same work may succeed: connection, rollback by deadlock,
#: resources, locks, shutdown, the system around. Not 54, a limit of PostgreSQL itself, which is
#: an OperationalError too and comes again each time.
_PASSING = frozenset({"08", "40", "53", "55", "57", "58"})


def is_passing(error: BaseException) -> bool:
    """Whether the database was away, busy or in a deadlock, so that one should come again."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    state = getattr(error.__cause__, "sqlstate", None)
    return state is None or state[:2] in _PASSING


def is_lost(error: DatabaseError) -> bool:
    """Return whether the connection is gone, rather than something rejected."""
    state = str(getattr(error.__cause__, "sqlstate", None) or "08")
    return state.startswith(("08", "57"))


class TooSlow(Exception):
    """Raised where a statement took longer than it was given."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Limit the time of each statement of a block. Raises TooSlow, with the block undone."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_LIMIT, [f"{max(1, round(seconds * 1000))}ms"])
            before = cursor.fetchone()[0]
            yield
            cursor.execute(_LIMIT, [before])
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) == _CANCELED:
            raise TooSlow from error
        raise


_CANCELED = "57014"
_LIMIT = "SELECT current_setting('statement_timeout'), set_config('statement_timeout', %s, true)"


_OUTDATED = """
SELECT s.relname FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
WHERE s.relname = ANY(%s) AND s.n_mod_since_analyze > 1000 + 0.1 * greatest(c.reltuples, 0)
ORDER BY 1
"""


def analyze_changed(*models: type[Model]) -> list[str]:
    """Let PostgreSQL sample the tables of which a tenth changed since it last did; return those.

    Autovacuum does the same within a minute or so. Until then, plans for rows that were just
    imported can be many times slower. A table that is sampled at this moment is left out.
    """
    with connection.cursor() as cursor:
        cursor.execute(_OUTDATED, [[model._meta.db_table for model in models]])
        names = [name for (name,) in cursor.fetchall()]
        if names:
            quoted = ", ".join(map(connection.ops.quote_name, names))
            cursor.execute(f"ANALYZE (SKIP_LOCKED) {quoted}")
    return names


class Columns(NamedTuple):
    """A model and some of its columns; JSON arrives as text, and ``json_at`` says where."""

    model: type[Model]
    names: tuple[str, ...]
    json_at: tuple[int, ...]


def some_columns(model: type[Model], names: set[str] | None = None) -> Columns:
    """Return a model with these columns, or all, in the order in which `from_db` takes them."""
    fields = [f for f in model._meta.concrete_fields if names is None or f.attname in names]
    json_at = [at for at, field in enumerate(fields) if isinstance(field, JSONField)]
    return Columns(model, tuple(f.attname for f in fields), tuple(json_at))


def columns_of(*parts: Columns) -> str:
    """Return the columns of the parts as a SELECT names them."""
    return ", ".join(f"{p.model._meta.db_table}.{name}" for p in parts for name in p.names)


def read_models(sql: str, params: Sequence[Any], *parts: Columns) -> Iterator[list[Any]]:
    """Run a statement written out, and yield for each row an instance of each model.

    The row has the columns of the parts one after the other; other columns are deferred. For the
    few reads of each incoming request where Django's own way costs more than the statement.
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        for row in cursor.fetchall():
            made, at = [], 0
            for model, names, json_at in parts:
                cells = list(row[at : at + len(names)])
                at += len(names)
                for place in json_at:
                    if cells[place] is not None:
                        cells[place] = json.loads(cells[place])
                made.append(model.from_db(connection.alias, names, cells))
            yield made


_TOO_LARGE = "54"
_NUMBER_OUT_OF_RANGE = "22003"


def reason_to_reject(error: BaseException) -> str:
    """Return why the database rejected a value, as the end of a message, and log where.

    PostgreSQL's own words name tables and quote rows: they are for no one outside, nor for the log.
    """
    cause = error.__cause__
    state = str(getattr(cause, "sqlstate", None) or "")
    constraint = getattr(getattr(cause, "diag", None), "constraint_name", None)
    logger.warning("The database rejected a value: SQLSTATE %s, constraint %s", state, constraint)
    if state.startswith(_TOO_LARGE):
        return "it is larger than the database can store"
    if state == _NUMBER_OUT_OF_RANGE:
        return "it contains a number that is out of range"
    return "the database rejected one of its values"


_BATCH = 10_000


def run_in_batches(statement: str, **values: int | float | str | datetime) -> int:
    """Run a statement that changes up to ``%(batch)s`` rows until none is left; return how many.

    Each batch commits alone, so that no transaction is long.
    """
    changed = 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(statement, {**values, "batch": _BATCH})
            rows: int = cursor.rowcount
            changed += rows
            if rows < _BATCH:
                return changed


def sql_of(rows: QuerySet[Any, Any]) -> tuple[str, tuple[Any, ...]]:
    """Return the statement of a query set and its parameters, also of one without any rows.

    Django raises EmptyResultSet where it sees that a filter matches nothing.
    """
    sql, params = rows.query.get_compiler(DEFAULT_DB_ALIAS, elide_empty=False).as_sql()
    return sql, tuple(params)


def key_array(keys: Iterable[int]) -> str:
    """Return keys as the text of an array, for ``%s::bigint[]``: the driver takes far longer."""
    return f"{{{','.join(map(str, keys))}}}"


def insert_new(rows: Sequence[Model], *, returning: str) -> list[Any]:
    """Insert rows of one model, but those that break a unique constraint.

    Return the column ``returning`` of those that were stored. This takes one statement, in which a
    column that is the same in all rows is one parameter and any other is an array:
    ``bulk_create`` sends many more parameters. Primary keys are the table's own, and columns with
    a database default use it.
    """
    if not rows:
        return []
    meta = rows[0]._meta
    names, sources, arrays, once = [], [], [], []
    for field in meta.concrete_fields:
        if field.primary_key or field.generated:
            continue
        values = [getattr(row, field.attname) for row in rows]
        if isinstance(values[0], DatabaseDefault):
            continue
        quoted = connection.ops.quote_name(str(field.column))
        names.append(quoted)
        # JSON is compared as its text: to Python, true is 1.
        plain = [_plain(field, v) for v in values] if isinstance(field, JSONField) else values
        if all(value == plain[0] for value in plain):
            sources.append(f"%s::{_type(field)}")
            once.append(_plain(field, values[0]))
        else:
            sources.append(f"given.{quoted}::{_type(field)}")
            arrays.append((quoted, _type(field), [_plain(field, v) for v in values]))
    quote = connection.ops.quote_name
    back = next(str(f.column) for f in meta.concrete_fields if returning in {f.name, f.attname})
    given = ", ".join(f"%s::{'text' if kind == 'jsonb' else kind}[]" for _, kind, _ in arrays)
    columns = ", ".join(quoted for quoted, _, _ in arrays)
    source = f" FROM unnest({given}) AS given({columns})" if arrays else ""
    statement = (
        f"INSERT INTO {quote(meta.db_table)} ({', '.join(names)})"
        f" SELECT {', '.join(sources)}{source}"
        f" ON CONFLICT DO NOTHING RETURNING {quote(back)}"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [*once, *(plain for _, _, plain in arrays)])
        return [value for (value,) in cursor.fetchall()]


def give_keys(rows: Sequence[Model]) -> None:
    """Give new rows their primary keys, from the table's own sequence."""
    if not rows:
        return
    meta = rows[0]._meta
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence(%s, %s)) FROM generate_series(1, %s)",
            [meta.db_table, meta.pk.column, len(rows)],
        )
        for row, (key,) in zip(rows, cursor.fetchall(), strict=True):
            row.pk = key


def copy_in(rows: Sequence[Model]) -> None:
    """Insert rows of one model by COPY: a third of what the same rows cost as INSERTs.

    Every column is written as it is on the instance, so a database default is not asked for.
    Raises IntegrityError and DataError as an INSERT does.
    """
    if not rows:
        return
    meta = rows[0]._meta
    fields = meta.concrete_fields
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in fields)
    statement = f"COPY {quote(meta.db_table)} ({columns}) FROM STDIN"
    values = attrgetter(*(field.attname for field in fields))
    json_at = [at for at, field in enumerate(fields) if isinstance(field, JSONField)]
    with (
        connection.cursor() as cursor,
        connection.wrap_database_errors,
        cursor.copy(statement) as copy,
    ):
        for row in rows:
            cells = list(values(row))
            for at in json_at:
                if cells[at] is not None:
                    cells[at] = json.dumps(cells[at], ensure_ascii=False)
            copy.write_row(cells)


def insert_with_parts(row: Model, parts: Sequence[Model]) -> None:
    """Insert a new row and its parts, whose primary key is that of the row, in one statement.

    For one that arrives alone: COPY takes several round trips for each table. As by `copy_in`,
    every column is written as it is on the instance. Sets the keys. Raises IntegrityError and
    DataError.
    """
    statement, fields = _insertion_of(type(row), *map(type, parts))
    values = [
        _plain(field, getattr(one, field.attname))
        for one, own in zip([row, *parts], fields, strict=True)
        for field in own
    ]
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        (row.pk,) = cursor.fetchone()
    for part in parts:
        part.pk = row.pk


@cache
def _insertion_of(*models: type[Model]) -> tuple[str, list[list["Field[Any, Any]"]]]:
    """Return the statement for a row and its parts, and the fields of each that it sets."""
    quote, inserts, fields = connection.ops.quote_name, [], []
    for number, model in enumerate(models):
        meta = model._meta
        own = [f for f in meta.concrete_fields if not (f.primary_key or f.generated)]
        columns = [quote(str(f.column)) for f in own]
        values = [f"%s::{_type(f)}" for f in own]
        source = ""
        if number:
            columns, values = [quote(str(meta.pk.column)), *columns], ["made.id", *values]
            source = " FROM made"
        inserts.append(
            f"{f'part_{number}' if number else 'made'} AS (INSERT INTO {quote(meta.db_table)}"
            f" ({', '.join(columns)}) SELECT {', '.join(values)}{source}"
            f"{'' if number else f' RETURNING {quote(str(meta.pk.column))} AS id'})"
        )
        fields.append(own)
    return f"WITH {', '.join(inserts)} SELECT id FROM made", fields  # noqa: S608 (of models)


def _plain(field: "Field[Any, Any]", value: Any) -> Any:
    """Return a value as a parameter: JSON as its text."""
    if isinstance(field, JSONField):
        return None if value is None else json.dumps(value, ensure_ascii=False)
    # Django's own way takes ten function calls to return the same.
    if value is None or isinstance(field, _AS_THEY_ARE.get(type(value), ())):
        return value
    if isinstance(value, str) and isinstance(field, CharField | TextField):
        return str.__str__(value)  # a choice: the driver takes no list of two types
    return field.get_db_prep_save(value, connection)


_AS_THEY_ARE = {
    str: (CharField, TextField),
    int: (IntegerField, ForeignKey),
    bool: (BooleanField,),
    datetime: (DateTimeField,),
}


@cache
def _type(field: "Field[Any, Any]") -> str:
    """Return the column's type without a length: a cast would truncate long text, not reject it."""
    kind = field.db_type(connection) or "text"
    return "text" if kind.startswith("varchar") else kind

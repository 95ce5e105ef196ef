"""Export conversations as CSV: the columns that a history page shows, or everything."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Func
from django.db.models.expressions import OrderBy

from apps.core.spreadsheets import csv_lines

from .filters import Field, FilterSpec, static_fields
from .filters.catalog import schema_fields
from .history_list import value_of, with_columns
from .models import Conversation, ConversationQuerySet

CHUNK = 2_000
MANY_KEYS = 1_000
"""More keys than this aren't columns that anyone reads: they stay together, as JSON."""


@dataclass(frozen=True, slots=True)
class ExportColumn:
    """One column of the file."""

    name: str
    read: Callable[[Conversation], Any]


def visible_lines(spec: FilterSpec, fields: Sequence[Field]) -> Iterator[str]:
    """Yield the lines of an export of these columns; the conversation's ID comes first."""
    columns = [_column(field) for field in fields if field.name != "id"]
    return _lines(spec, columns, with_columns(spec.queryset(), fields))


def everything_lines(spec: FilterSpec) -> Iterator[str]:
    """Yield the lines of an export of every column, analysis field, metadata key and variable.

    The fields of an analysis are those that the agents of these conversations define, and those
    that a result holds without them, as imported ones can.
    """
    rows = spec.queryset()
    return _lines(spec, _everything(spec, rows), with_every_column(rows, spec.channel))


def names_of(spec: FilterSpec, fields: Sequence[Field] | None) -> list[str]:
    """Return the names of the columns of an export: of these fields, or of everything."""
    if fields is not None:
        return [field.name for field in fields if field.name != "id"]
    return [column.name for column in _everything(spec, spec.queryset())]


def columns_named(channel: str, names: Sequence[str]) -> list[ExportColumn]:
    """Return the columns of these names, as `names_of` gave them."""
    static = static_fields(channel)
    return [_named(name, static) for name in names]


def with_every_column(rows: ConversationQuerySet, channel: str | None) -> ConversationQuerySet:
    """Return the rows with all that a column may read."""
    read = with_columns(rows, list(static_fields(channel).values()))
    unread = ("analysis_config__document", "agent_version__editor_document")
    return read.select_related("attributes", "analysis_config").defer(None).defer(*unread)


def lines_of(columns: Sequence[ExportColumn], rows: Iterable[Conversation]) -> Iterator[str]:
    """Yield the head, and a line for each conversation."""
    cells = (
        [conversation.public_id, *(column.read(conversation) for column in columns)]
        for conversation in rows
    )
    return csv_lines(["id", *(column.name for column in columns)], cells)


_PATHS = {
    "analysis": "analysis_data",
    "metadata": "attributes__metadata",
    "var": "attributes__dynamic_variables",
}


def _named(name: str, static: Mapping[str, Field]) -> ExportColumn:
    if name in static:
        return _column(static[name])
    group, dot, key = name.partition(".")
    path = _PATHS[group]
    if not dot:  # all keys together, where they are too many
        return ExportColumn(name, lambda conversation: _values(conversation, path))
    return _key_column(group, path, key)


def _everything(spec: FilterSpec, rows: ConversationQuerySet) -> list[ExportColumn]:
    static = static_fields(spec.channel).values()
    columns = [_column(field) for field in static if field.name != "id"]
    for group, path in _PATHS.items():
        defined = _defined(spec, rows) if group == "analysis" else ()
        columns += _keys(group, rows, path, defined)
    return columns


def _lines(
    spec: FilterSpec, columns: Sequence[ExportColumn], rows: ConversationQuerySet
) -> Iterator[str]:
    """Yield the lines in the list's order."""
    first = OrderBy(F(spec.sort.field.sort), descending=spec.sort.descending, nulls_last=True)
    ordered = rows.order_by(first, "-pk" if spec.sort.descending else "pk")
    return lines_of(columns, ordered.iterator(chunk_size=CHUNK))


def _column(field: Field) -> ExportColumn:
    return ExportColumn(field.name, lambda conversation: value_of(conversation, field))


def _defined(spec: FilterSpec, rows: ConversationQuerySet) -> list[str]:
    """Return the names of the fields that the agents of these conversations have in a version."""
    return list(schema_fields(spec.channel, agents=rows.order_by().values("agent_id")))


def _keys(
    group: str, rows: ConversationQuerySet, path: str, defined: Sequence[str] = ()
) -> list[ExportColumn]:
    """Return a column for each key of a JSON column, or one for all where they are too many."""
    keys = rows.order_by().annotate(key=Func(F(path), function="jsonb_object_keys"))
    occurring = sorted(keys.values_list("key", flat=True).distinct()[: MANY_KEYS + 1])
    names = list(dict.fromkeys([*defined, *occurring]))
    if len(names) > MANY_KEYS:
        return [ExportColumn(group, lambda conversation: _values(conversation, path))]
    return [_key_column(group, path, name) for name in names]


def _key_column(group: str, path: str, key: str) -> ExportColumn:
    return ExportColumn(f"{group}.{key}", lambda conversation: _values(conversation, path).get(key))


def _values(conversation: Conversation, path: str) -> dict[str, Any]:
    relation, _, name = path.rpartition("__")
    values = getattr(getattr(conversation, relation) if relation else conversation, name)
    return values or {}

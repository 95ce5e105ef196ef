"""Looking for words in everything that the database holds, whatever the table is called."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from django.apps import apps
from django.db import connection, models

from apps.conversations.models import Conversation

_TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'p', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname NOT LIKE 'pg_temp%' AND n.nspname NOT LIKE 'pg_toast%'
ORDER BY 1, 2
"""
# Of system catalogues too: whether a column can be read is PostgreSQL's to say, not ours.
_COLUMNS = """
SELECT attname, atttypid::regtype::text FROM pg_attribute
WHERE attrelid = format('%%I.%%I', %s::text, %s::text)::regclass AND attnum > 0 AND NOT attisdropped
"""


def places_of(words: Iterable[str]) -> dict[str, set[str]]:
    """Where each word stands: word → {"table.column"}. Raises where a table cannot be read.

    Every column of every table, materialised view and foreign table is read as text, without
    regard to case: JSON, arrays and the words of a tsvector stand in it as they are, bytes also
    as what they spell in UTF-8.
    """
    wanted = sorted(set(words))
    found: dict[str, set[str]] = defaultdict(set)
    with connection.cursor() as cursor:
        cursor.execute(_TABLES)
        for schema, table in cursor.fetchall():
            cursor.execute(_COLUMNS, [schema, table])
            for column, kind in cursor.fetchall():
                for word in _in_column(schema, table, column, kind, wanted):
                    found[word].add(f"{table}.{column}")
    return dict(found)


def _in_column(schema: str, table: str, column: str, kind: str, words: list[str]) -> set[str]:
    quoted = [connection.ops.quote_name(name) for name in (schema, table, column)]
    spelt = {word: word for word in words}
    if kind == "bytea":  # as text it reads \x6162…
        spelt |= {word.encode().hex(): word for word in words}
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT w FROM {quoted[0]}.{quoted[1]}, unnest(%s::text[]) AS w"
            f" WHERE position(lower(w) IN lower({quoted[2]}::text)) > 0",
            [list(spelt)],
        )
        return {spelt[row[0]] for row in cursor.fetchall()}


def kinds_of_traces(model: type[models.Model] = Conversation) -> Iterator[type[models.Model]]:
    """Every model whose rows refer to a conversation, directly or over others of them."""
    seen = {model}
    queue = [model]
    while queue:
        for relation in queue.pop()._meta.related_objects:
            if relation.related_model not in seen:
                seen.add(relation.related_model)
                queue.append(relation.related_model)
                yield relation.related_model


def tables_that_django_knows() -> set[str]:
    """Names of the tables of all models, many-to-many ones included."""
    return {model._meta.db_table for model in apps.get_models(include_auto_created=True)}

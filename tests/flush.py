"""Empty the tables after a test that committed: only those that it wrote to.

Django truncates every table and then creates content types and permissions anew: a quarter of a
second and many files per test. Deleting the few rows of a test takes a twentieth of that.
"""

from django.core.management import call_command
from django.db import connection, transaction
from django.db.utils import ProgrammingError

#: What Django's own flush empties and fills again with the same rows.
KEPT = {"django_content_type", "auth_permission"}


def empty_tables() -> None:
    """Delete all rows that tests committed.

    Waits, as a truncation does, for other sessions that still write. Where the user of the database
    may not turn triggers off (some tables refuse to delete), runs Django's flush.
    """
    tables = set(connection.introspection.django_table_names(only_existing=True))
    names = [connection.ops.quote_name(name) for name in sorted(tables - KEPT)]
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE")
            parts = (f"(SELECT '{name}' FROM {name} LIMIT 1)" for name in names)
            cursor.execute(" UNION ALL ".join(parts))
            for (name,) in cursor.fetchall():
                cursor.execute(f"DELETE FROM {name}")
    except ProgrammingError:
        call_command("flush", verbosity=0, interactive=False, reset_sequences=False)

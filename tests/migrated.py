"""A test database for each process of a run, of which only the first migrates its own.

Migrating takes seconds of CPU, copying a migrated database 0.1 s.
"""

import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

MIGRATED = "debrief_migrated"
"""The database that is copied; no process uses it, so that it can be."""

Create = Callable[..., str]


def copying(create: Create) -> Create:
    """Return a ``create_test_db`` that migrates once for all processes on one DATA_DIR."""

    def create_or_copy(creation: Any, *args: object, **options: object) -> str:
        done = Path(settings.DATA_DIR) / MIGRATED
        with done.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if done.exists():
                return _copy(creation)
            name = create(creation, *args, **options)
            connection.close()
            _create(creation, MIGRATED, template=name)
            done.touch()
            connection.ensure_connection()
            return name

    return create_or_copy


def _copy(creation: Any) -> str:
    name: str = creation._get_test_db_name()
    _create(creation, name, template=MIGRATED)
    connection.close()
    settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = name
    connection.ensure_connection()
    return name


def _create(creation: Any, name: str, *, template: str) -> None:
    quote = connection.ops.quote_name
    with creation._nodb_cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {quote(name)} TEMPLATE {quote(template)}")

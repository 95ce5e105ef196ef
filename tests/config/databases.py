"""Databases of a test's own on the server of this run, and programs that use them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from django.conf import settings
from django.db import connection
from psycopg import sql

from config.embedded import postgres
from tests.config.running import environment


def connect(name: str = "postgres") -> "psycopg.Connection[tuple[object, ...]]":
    """Open a connection to a database of the server."""
    of = connection.settings_dict
    return psycopg.connect(
        dbname=name,
        user=of["USER"],
        password=of["PASSWORD"] or None,
        host=of["HOST"] or of["OPTIONS"].get("host"),
        port=of["PORT"] or None,
        autocommit=True,
    )


@contextmanager
def fresh_database(name: str) -> Iterator[str]:
    """Make an empty database; it is dropped afterward, whoever still uses it."""
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    with connect() as server:
        server.execute(drop)
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield name
        finally:
            server.execute(drop)


def installed_on(database: str, data_dir: Path, **own: str) -> dict[str, str]:
    """Return the environment of an installation on this database and the run's broker."""
    of = connection.settings_dict
    host = of["HOST"] or of["OPTIONS"].get("host", "")
    url = f"postgres://{of['USER']}:{of['PASSWORD']}@:{of['PORT']}/{database}?host={host}"
    return environment(
        DATABASE_URL=url.replace(":@", "@").replace("@:/", "@/"),
        REDIS_URL=settings.REDIS_URL,
        DATA_DIR=str(data_dir),
        OPENAI_API_KEY="unused",
        **own,
    )


def client_program(name: str) -> str:
    """Return the path of pg_dump or pg_restore: the one of the embedded server, or the system's."""
    bundled = Path(postgres.binary(name))
    return str(bundled) if bundled.exists() else str(shutil.which(name))

"""Whether a stored connection lives, asked of its socket and of the server."""

import time
from collections.abc import Iterator
from typing import Any, cast

import pytest
from django.db import connection

from apps.core.postgresql import base

pytestmark = pytest.mark.django_db


@pytest.fixture
def stored() -> Iterator[base.DatabaseWrapper]:
    """A connection like those that a web process keeps, apart from the test's own."""
    copy = cast("base.DatabaseWrapper", connection.copy())
    copy.connect()
    yield copy
    copy.close()


def pid_of(stored: base.DatabaseWrapper) -> int:
    return int(stored.connection.info.backend_pid)


def last_statement(stored: base.DatabaseWrapper) -> Any:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT query_start FROM pg_stat_get_activity(%s)", [pid_of(stored)])
        return cursor.fetchone()[0]


def test_the_server_is_asked_once_in_a_while(
    stored: base.DatabaseWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stored.is_usable()
    asked = last_statement(stored)
    assert stored.is_usable()
    assert last_statement(stored) == asked
    monkeypatch.setattr(base, "ASK_SECONDS", 0.0)
    assert stored.is_usable()
    assert last_statement(stored) > asked


def test_a_connection_that_the_server_ended_is_found_without_asking(
    stored: base.DatabaseWrapper,
) -> None:
    assert stored.is_usable()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [pid_of(stored)])
    for _ in range(1_000):
        if not stored.is_usable():
            return
        time.sleep(0.01)  # the end may arrive a moment later
    raise AssertionError("The end of the connection was not noticed.")


def test_a_notice_is_no_end(stored: base.DatabaseWrapper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_has_arrived", lambda descriptor: True)
    assert stored.is_usable()

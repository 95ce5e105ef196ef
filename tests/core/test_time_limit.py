"""Statements with a time limit."""

import pytest
from django.db import connection

from apps.core.database import TooSlow, time_limit

pytestmark = pytest.mark.django_db


def run(statement: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return str(cursor.fetchone()[0])


def change_and_sleep() -> None:
    with time_limit(0.05):
        run("SELECT set_config('debrief.tests', 'changed', true)")
        run("SELECT pg_sleep(60)")


def test_a_slow_statement_is_stopped_and_its_block_undone() -> None:
    with pytest.raises(TooSlow):
        change_and_sleep()
    assert run("SELECT coalesce(current_setting('debrief.tests', true), '')") == ""
    assert run("SHOW statement_timeout") == "0"


def test_the_limit_ends_with_its_block() -> None:
    with time_limit(30):
        assert run("SHOW statement_timeout") == "30s"
        with time_limit(5):
            assert run("SHOW statement_timeout") == "5s"
        assert run("SHOW statement_timeout") == "30s"
    assert run("SHOW statement_timeout") == "0"

"""Statistics of tables that changed much, for the plans of PostgreSQL."""

import pytest
from django.db import connection

from apps.accounts.models import AuditEntry
from apps.core.database import analyze_changed
from apps.llm.models import Usage

pytestmark = pytest.mark.django_db(transaction=True)


def run(statement: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


def add_entries(count: int) -> None:
    AuditEntry.objects.bulk_create(
        AuditEntry(who="tests", via="system", verb="tests.ran") for _ in range(count)
    )
    run("SELECT pg_stat_force_next_flush() IS NULL")
    run("SELECT 1")


def test_a_table_is_sampled_once_a_tenth_of_it_changed() -> None:
    table = AuditEntry._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {table}")
    add_entries(900)
    assert analyze_changed(AuditEntry, Usage) == []
    add_entries(2_100)
    assert analyze_changed(AuditEntry, Usage) == [table]
    assert run(f"SELECT reltuples FROM pg_class WHERE oid = '{table}'::regclass") == 3_000
    add_entries(1_200)
    assert analyze_changed(AuditEntry) == []
    add_entries(200)
    assert analyze_changed(AuditEntry) == [table]

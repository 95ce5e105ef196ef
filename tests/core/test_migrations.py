"""Migrations build the database that the code expects."""

from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations import CreateModel
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

SQL = {"accounts", "agents", "analysis", "mappings", "runs"}
"""Apps with triggers or constraints that Django's operations cannot express."""


def names_of(app: Path) -> list[str]:
    return sorted(path.stem for path in (app / "migrations").glob("[0-9]*.py"))


@pytest.mark.django_db
def test_an_empty_database_migrates_completely() -> None:
    executor = MigrationExecutor(connection)
    assert executor.migration_plan(executor.loader.graph.leaf_nodes()) == []


@pytest.mark.django_db
def test_models_and_migrations_agree() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_each_app_has_one_initial_migration() -> None:
    folders = [app for app in (settings.BASE_DIR / "apps").iterdir() if names_of(app)]
    assert len(folders) >= 9
    for app in folders:
        assert names_of(app) == ["0001_initial", *(["0002_sql"] if app.name in SQL else [])]


def test_initial_migrations_only_create_models() -> None:
    """Each further operation makes Django build all models anew: 30 ms for each test process."""
    found = MigrationLoader(None).disk_migrations
    own = {key: one for key, one in found.items() if one.__module__.startswith("apps.")}
    operations = [
        (app, operation)
        for (app, name), migration in own.items()
        for operation in migration.operations
        if name == "0001_initial" and not isinstance(operation, CreateModel)
    ]
    assert len(own) >= 9
    assert operations == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("catalog", "column", "names"),
    [
        (
            "pg_trigger",
            "tgname",
            {
                "accounts_auditentry_append_only",
                "agents_config_frozen",
                "agents_save_frozen",
                "agents_version_frozen",
            },
        ),
        (
            "pg_constraint",
            "conname",
            {
                "analysis_restored_from_same_conversation",
                "run_item_analysis_same_conversation",
                "run_item_previous_analysis_same_conversation",
            },
        ),
    ],
)
def test_the_database_has_its_triggers_and_constraints(
    catalog: str, column: str, names: set[str]
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {catalog}")
        assert names <= {row[0] for row in cursor}

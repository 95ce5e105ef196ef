"""Bring the database and the static files to the version of this code.

Safe to repeat, and safe to start on several machines at once: one works, the others wait for the
lock and then find nothing left to do.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core import checks
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.backends.utils import CursorWrapper
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from apps.llm.services import ensure_catalogue
from config import preflight
from config.preflight import Refused

LOCK = 0x64656272696566
"""The advisory lock of upgrades, one per database: "debrief" in ASCII."""

_POLL_SECONDS = 0.5

Say = Callable[[str], None]


def upgrade(say: Say) -> None:
    """Check the settings, migrate, add what the catalog lacks, and collect static files.

    An exception has the reason when this code can't run on this database.
    """
    preflight.check_database()
    preflight.check_broker()
    _check_settings(say)
    with alone(say):
        migrate(say)
        _collect_static(say)


def migrate(say: Say) -> None:
    """Run pending migrations and add the models that the catalog lacks."""
    _reject_newer_schema()
    pending = pending_migrations()
    if pending:
        say(f"running {counted(pending)}")
        try:
            call_command("migrate", interactive=False, verbosity=0)
        except DatabaseError as error:
            if not connection.is_usable():
                raise
            raise Refused(_failure(error)) from error
    ensure_catalogue()


def pending_migrations() -> list[Migration]:
    """Return the migrations of this code that the database lacks, in their order."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [migration for migration, _ in plan]


def counted(pending: Sequence[Migration]) -> str:
    """Return their number, with the noun."""
    return "1 migration" if len(pending) == 1 else f"{len(pending)} migrations"


def _failure(error: DatabaseError) -> str:
    """Return which migration failed: each is a transaction, so it's the first that is missing."""
    failed = pending_migrations()[0]
    return (
        f"migration {failed.name} of {failed.app_label} failed and was rolled back "
        f"({preflight.first_line(error)}): fix the cause, and run `manage.py upgrade` again"
    )


def _reject_newer_schema() -> None:
    """Reject a database that a newer version has migrated: old code would write wrong rows."""
    loader = MigrationExecutor(connection).loader
    known = set(loader.disk_migrations)
    known |= {old for found in loader.disk_migrations.values() for old in found.replaces}
    ours = {app.label for app in apps.get_app_configs() if app.name.startswith("apps.")}
    applied = set(MigrationRecorder(connection).applied_migrations())
    newer = sorted(key for key in applied - known if key[0] in ours)
    if newer:
        raise Refused(
            f"a newer version of Debrief has migrated this database ({newer[0][0]} "
            f"{newer[0][1]}): install that version, or restore a backup from before it"
        )


def _check_settings(say: Say) -> None:
    found = checks.run_checks(include_deployment_checks=True, databases=["default"])
    found = [message for message in found if not message.is_silenced()]
    errors = [message for message in found if message.is_serious()]
    if errors:
        raise Refused("; ".join(str(message.msg) for message in errors))
    for message in found:
        say(f"warning: {message.msg}")


@contextmanager
def alone(say: Say) -> Iterator[None]:
    """Hold the lock of upgrades, on a connection that no migration closes."""
    own = connection.copy()
    try:
        with own.cursor() as cursor:
            waiting = False
            # Asked for again and again: a statement that waits inside the server would itself
            # be waited for by CREATE INDEX CONCURRENTLY.
            while not _locked(cursor):
                if not waiting:
                    say("another upgrade is running; waiting for it")
                waiting = True
                time.sleep(_POLL_SECONDS)
        yield
    finally:
        own.close()


def _locked(cursor: CursorWrapper) -> bool:
    cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
    return bool(cursor.fetchone()[0])


def _collect_static(say: Say) -> None:
    """Collect static files where their sources are newer; an image brings its own."""
    root = Path(settings.STATIC_ROOT)
    manifest = root / "staticfiles.json"
    if manifest.exists() and not (os.access(root, os.W_OK) and _changed_since(manifest)):
        return
    say("collecting static files")
    try:
        call_command("collectstatic", interactive=False, verbosity=0)
    except OSError as error:
        raise Refused(f"the static files can't be written to {root}: {error.strerror}") from None


def _changed_since(manifest: Path) -> bool:
    collected_at = manifest.stat().st_mtime
    return any(
        Path(storage.path(name)).stat().st_mtime > collected_at
        for finder in get_finders()
        for name, storage in finder.list([])
    )

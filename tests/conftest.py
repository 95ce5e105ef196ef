"""One real PostgreSQL and one real Valkey for the whole run, started before the first test.

They live in a temporary folder and end with the run. Where DATABASE_URL or REDIS_URL is set, that
one is used instead.
"""

import gc
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import hypothesis
import pytest
import pytest_django
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.db.backends.postgresql.creation import DatabaseCreation
from django.test import TransactionTestCase
from django.utils import timezone
from xdist.remote import Producer

from config.embedded import postgres, valkey
from config.embedded.program import Program
from tests import migrated
from tests.flush import empty_tables
from tests.schedule import Schedule

pytest_plugins = ["tests.fakes.fixtures"]
# Their asserts tell what they compared, whichever folder of tests imports them first.
pytest.register_assert_rewrite("tests.faults.runs", "tests.insights.plain_counts")

# The same examples on every machine and day, however slow it is.
hypothesis.settings.register_profile(
    "debrief",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("debrief")

_STARTED = pytest.StashKey[list["subprocess.Popen[bytes]"]]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers, in the one process that all workers come from."""
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    data_dir = Path(settings.DATA_DIR)
    programs: list[Program] = []
    if settings.EMBEDDED_DATABASE:
        programs.append(postgres.program(data_dir, durable=False))
    if settings.EMBEDDED_BROKER:
        programs.append(valkey.program(data_dir))
    processes = [_start(program) for program in programs]
    config.stash[_STARTED] = processes
    for program, process in zip(programs, processes, strict=True):
        _wait_until_ready(program, process)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector off what is collected: modules and tests stay for good."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Schedule | None:
    """Let files stay together under `--dist loadgroup`."""
    return Schedule(config, log) if config.getoption("dist") == "loadgroup" else None


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None,
) -> Iterator[None]:
    """Migrate one database for all processes. (A server of one's own gets no further database.)"""
    with pytest.MonkeyPatch.context() as patch:
        if settings.EMBEDDED_DATABASE and "PYTEST_XDIST_WORKER" in os.environ:
            made = migrated.copying(DatabaseCreation.create_test_db)
            patch.setattr(DatabaseCreation, "create_test_db", made)
        yield


@pytest.fixture(autouse=True, scope="session")
def _quick_flush() -> Iterator[None]:
    """After a test that commits, empty only the tables that it wrote to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda case: empty_tables())
        yield


@pytest.fixture(autouse=True)
def _nothing_cached(request: pytest.FixtureRequest) -> None:
    """What another test's page left in the cache for a minute is of another database."""
    if request.node.get_closest_marker("django_db"):
        cache.clear()


@pytest.fixture(scope="module")
def demo(django_db_setup: None, django_db_blocker: pytest_django.DjangoDbBlocker) -> Iterator[None]:
    """The demo data as of March 20, 2026, 10 AM UTC, loaded once for all tests of a module.

    Each test's own transaction is a savepoint within the load's, so that it leaves no trace.
    """
    from apps.demo.loading import load_demo

    with django_db_blocker.unblock(), transaction.atomic():
        load_demo(now=datetime(2026, 3, 20, 10, tzinfo=UTC))
        yield
        transaction.set_rollback(True)


@pytest.fixture
def _in_utc() -> Iterator[None]:
    """The times that a test compares are of this zone, whichever the installation's is."""
    with timezone.override(UTC):
        yield


@pytest.fixture(autouse=True, scope="session")
def _old_server() -> Iterator[None]:
    """A lease that a test lets run out has done so: the server of this run is young, and leases
    count only some time after its start (apps/work/queue.py)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("apps.work.queue.RESTART_GRACE", 0)
        yield


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the servers and remove the folder."""
    if _STARTED not in config.stash:
        return
    for process in config.stash[_STARTED]:
        process.send_signal(signal.SIGQUIT)  # at once: nothing in there is worth writing down
    for process in config.stash[_STARTED]:
        _wait_for_end(process)
    shutil.rmtree(os.environ["DEBRIEF_TEST_DATA_DIR"], ignore_errors=True)


def _wait_for_end(process: "subprocess.Popen[bytes]") -> None:
    """Kill a program that does not end: run in the background of a script, it inherits that
    SIGQUIT is ignored."""
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=10)


def _start(program: Program) -> "subprocess.Popen[bytes]":
    with program.open_log() as log:
        return program.spawn(log)


def _wait_until_ready(program: Program, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while not program.ready():
        if process.poll() is not None or time.monotonic() > deadline:
            said = program.log.read_text() if program.log else ""
            pytest.exit(f"{program.name} did not start:\n{said}", returncode=1)
        time.sleep(0.02)

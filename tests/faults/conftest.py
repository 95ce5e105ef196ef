"""Processes and servers of each test, gone after it; their last words where it failed."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.receiver import Receiver

from .harness import Workers
from .servers import Servers
from .web import Web, start_web

_LAST = 6_000


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    """No worker yet, of sixteen requests in flight each."""
    pool = Workers(tmp_path / "workers.log")
    yield pool
    pool.kill_all()
    if pool.log.exists():
        sys.stdout.write(pool.log.read_text(errors="replace")[-_LAST:])


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Start an endpoint that takes everything; a test can make it slow or faulty."""
    running = Receiver()
    yield running
    running.close()


@pytest.fixture
def servers(transactional_db: None) -> Iterator[Servers]:
    """Servers of this test's own; its process uses their database."""
    with Servers().running() as own:
        yield own


@pytest.fixture
def installation(workers: Workers, servers: Servers) -> Workers:
    """Two workers and a scheduler on the test's own servers."""
    # A lease that outlasts the pauses between a runner's attempts to reach the database.
    workers.environment = {**servers.environment, "TEST_LEASE_SECONDS": "10"}
    for _ in range(2):
        workers.start()
    workers.start_scheduler()
    return workers


@pytest.fixture(scope="module")
def web(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A web process for all tests of a file, impatient with clients that do nothing."""
    pool = Workers(
        tmp_path_factory.mktemp("web") / "web.log",
        environment={"TEST_SILENCE_SECONDS": "3", "TEST_STALL_SECONDS": "3"},
    )
    try:
        yield start_web(pool)
    finally:
        pool.kill_all()
        sys.stdout.write(pool.log.read_text(errors="replace")[-_LAST:])

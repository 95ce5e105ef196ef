"""PostgreSQL's disk fills up in mid-run: the run waits for room, and nothing is lost or doubled."""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from config.disk import database_problem
from tests.disks import small_disk
from tests.fakes.fixtures import FakeLLM

from .harness import Workers, no_drum, wait_until
from .runs import assert_whole, done, is_over, run_of
from .servers import Servers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs"),
]

ITEMS = 300
SIZE = 320 * 1024 * 1024
FULL_SECONDS = 15.0


@pytest.fixture
def disk() -> Iterator[Path]:
    """A disk with room for a PostgreSQL with its tables, and not much more."""
    folder = Path(tempfile.mkdtemp(prefix="debrief-disk-"))
    folder.chmod(0o755)
    with small_disk(folder / "disk", SIZE) as mounted:
        yield mounted
    shutil.rmtree(folder)


@pytest.fixture
def servers(disk: Path, transactional_db: None) -> Iterator[Servers]:
    """Servers on that disk."""
    with Servers(disk / "data").running() as own:
        yield own


def fill(disk: Path) -> Path:
    """Take all room that is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1024 * 1024, 4096):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler


def test_a_run_waits_while_the_disk_of_the_database_is_full(
    fake_llm: FakeLLM, installation: Workers, servers: Servers, disk: Path
) -> None:
    """Two workers. PostgreSQL rejects writes, and stops where it can't write its log."""
    fake_llm.set(latency=0.3)
    run = run_of(fake_llm, ITEMS)
    wait_until(lambda: done(run) >= ITEMS // 4, drum=no_drum, timeout=240)
    filler = fill(disk)

    assert database_problem() == "PostgreSQL has no disk space left."
    time.sleep(FULL_SECONDS)  # longer than a lease
    connection.close()
    asked = fake_llm.total
    assert asked < ITEMS

    filler.unlink()
    servers.start_where_ended()
    wait_until(lambda: is_over(run), drum=no_drum, timeout=240)
    # Leases may have expired while heartbeats could not be written.
    assert_whole(run, fake_llm, items=ITEMS, repeated=2 * 2 * installation.concurrency)

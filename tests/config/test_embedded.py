"""The embedded services: what others may read of them, and what becomes of one that hangs."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest

from config import supervisor as supervising
from config.embedded import paths, postgres
from config.embedded.program import Program
from config.supervisor import Child, StopSignals, Supervisor

SECRET = "my card is 4111 1111"


@pytest.fixture
def data_dir() -> Iterator[Path]:
    # Not tmp_path: a socket's address is short, and the folders above have to be passable.
    with tempfile.TemporaryDirectory(prefix="debrief-own-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture
def watched(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """A supervisor that looks often and waits little."""
    monkeypatch.setattr(supervising, "_PROBE_EVERY", 0.1)
    monkeypatch.setattr(supervising, "_HANG_GRACE", 0.5)
    made = Supervisor(data_dir, StopSignals())
    yield made
    made.stop()


def look_until(watched: Supervisor, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        watched.look_after_all()
        time.sleep(0.02)


def connect(data_dir: Path) -> psycopg.Connection:
    place = str(paths.run_dir(data_dir))
    return psycopg.connect(
        host=place, user=postgres.USER, dbname=postgres.DATABASE, autocommit=True
    )


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_old_log_and_its_folder_are_closed_to_other_users(data_dir: Path) -> None:
    (data_dir / "log").mkdir(mode=0o755)
    log = data_dir / "log" / "odd.log"
    log.write_text("from an older version\n")
    log.chmod(0o644)

    with Program(name="odd", argv=[], log=log).open_log() as opened:
        opened.write(b"and on it goes\n")

    assert mode(log) == 0o600
    assert mode(log.parent) == 0o700
    assert log.read_text() == "from an older version\nand on it goes\n"


def test_postgres_keeps_values_to_itself(data_dir: Path, watched: Supervisor) -> None:
    program = postgres.program(data_dir, durable=False)
    child = watched.start(program)
    watched.wait_until_ready(child, seconds=60)

    with connect(data_dir) as connection:
        connection.execute("CREATE TABLE said (number int PRIMARY KEY, words text)")
        connection.execute(f"INSERT INTO said SELECT 1, '{SECRET}' FROM pg_sleep(2.1)")
        for wrong in (
            f"INSERT INTO said VALUES (1, '{SECRET}')",
            f"SELECT '{SECRET}'::int",
            f"SELECT '{SECRET}' FROM nowhere",
        ):
            with pytest.raises(psycopg.Error):
                connection.execute(wrong)
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT %s::text::int", [SECRET])
        _crash(connection, f"SELECT '{SECRET}' FROM pg_sleep(60)")
    log = program.log
    assert log
    # The client hears of the crash before PostgreSQL has written about it.
    look_until(watched, lambda: "terminated by signal" in log.read_text() and program.ready())

    text = log.read_text()
    assert SECRET not in text
    assert mode(log) == 0o600
    for folder in ("log", "postgres"):
        assert mode(data_dir / folder) == 0o700
    assert mode(paths.run_dir(data_dir)) == 0o700


def _crash(connection: psycopg.Connection, statement: str) -> None:
    """Kill the server process of a session in the middle of a statement."""
    pid = connection.info.backend_pid
    script = f"import os, time; time.sleep(0.5); os.kill({pid}, {int(signal.SIGSEGV)})"
    killer = subprocess.Popen([sys.executable, "-c", script])
    with pytest.raises(psycopg.Error):
        connection.execute(statement)
    killer.wait()


def test_a_postgres_that_hangs_is_restarted_and_has_its_data(
    data_dir: Path, watched: Supervisor
) -> None:
    program = replace(postgres.program(data_dir), patience=0.5)
    child = watched.start(program)
    watched.wait_until_ready(child, seconds=60)
    with connect(data_dir) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    family = _stop_all(child)

    look_until(watched, lambda: child.process.pid != family[0].pid and program.ready())

    with connect(data_dir) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
    assert not [one for one in family if _lives(one)]


def _does(process: psutil.Process, work: str) -> bool:
    """Whether a process of PostgreSQL names this work as its own; one that ended does not."""
    try:
        return work in " ".join(process.cmdline())
    except psutil.Error:
        return False


def _lives(process: psutil.Process) -> bool:
    """Whether it runs. Orphans stay zombies where the machine's first process buries nobody."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _stop_all(child: Child) -> list[psutil.Process]:
    """Freeze a program and all its processes: they live, listen, and do nothing."""
    parent = psutil.Process(child.process.pid)
    family = [parent, *parent.children(recursive=True)]
    for one in family:
        with suppress(ProcessLookupError):
            os.kill(one.pid, signal.SIGSTOP)
    return family


def test_a_postgres_in_recovery_is_not_ready(data_dir: Path, watched: Supervisor) -> None:
    program = postgres.program(data_dir)
    child = watched.start(program)
    watched.wait_until_ready(child, seconds=60)
    startups: list[psutil.Process] = []
    for one in psutil.Process(child.process.pid).children():
        with suppress(ProcessLookupError):
            os.kill(one.pid, signal.SIGKILL)

    deadline = time.monotonic() + 30
    while not startups and time.monotonic() < deadline:
        children = psutil.Process(child.process.pid).children()
        startups = [one for one in children if _does(one, "startup")]
    for one in startups:
        os.kill(one.pid, signal.SIGSTOP)

    assert not program.ready()
    for one in startups:
        os.kill(one.pid, signal.SIGCONT)
    look_until(watched, program.ready)


def test_what_stays_silent_is_given_twice_as_long_each_time(
    data_dir: Path, watched: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    program = Program(
        name="mute",
        argv=[sys.executable, "-c", "import time; time.sleep(600)"],
        ready=lambda: False,
        patience=0.3,
        log=data_dir / "log" / "mute.log",
    )
    child = watched.start(program)
    first = child.process.pid

    look_until(watched, lambda: child.hangs == 2)

    assert child.process.pid != first
    assert child.patience(0.3) == pytest.approx(1.2)
    assert "hasn't responded for 0 s" in capsys.readouterr().out

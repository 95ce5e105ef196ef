"""`manage.py up` for real: it starts, answers, mends itself, stops and refuses, as a process.

The whole file runs in one worker of pytest-xdist: two installations at once would only make
each other slow.
"""

import contextlib
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from django.conf import settings

from tests.config.running import (
    SECONDS,
    Running,
    assert_gone,
    environment,
    free_port,
    wait_until,
)

pytestmark = pytest.mark.xdist_group("up")


def refusal(*options: str, **env: str) -> str:
    """The one line that `up` says instead of starting."""
    done = subprocess.run(
        [sys.executable, "manage.py", "up", *options],
        cwd=settings.BASE_DIR,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.fixture(scope="module", autouse=True)
def _static_files() -> None:
    if not (settings.STATIC_ROOT / "staticfiles.json").exists():
        command = [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity=0"]
        subprocess.run(command, cwd=settings.BASE_DIR, env=environment(), check=True)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    # Not tmp_path: a socket's address is short, and the folders above have to be passable.
    with tempfile.TemporaryDirectory(prefix="debrief-up-", ignore_cleanup_errors=True) as name:
        yield Path(name) / "data"


@pytest.fixture
def start(data_dir: Path) -> Iterator[Callable[..., Running]]:
    with contextlib.ExitStack() as all_of_them:
        yield lambda *options: all_of_them.enter_context(Running(data_dir, *options))


def test_starts_answers_mends_itself_and_leaves_nothing(
    start: Callable[..., Running], data_dir: Path
) -> None:
    run = start()
    password = run.wait_for(r"log in as demo with password (\S+)").group(1)
    kept = data_dir / "demo_password"
    assert kept.read_text().strip() == password
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [run.get("/healthz"), run.get("/readyz"), run.get("/login/")] == [200, 200, 200]

    second = refusal("--port", str(free_port()), DATA_DIR=str(data_dir))
    assert f"is already running on DATA_DIR {data_dir}" in second

    worker = run.child("celery --app config --quiet worker")
    worker.kill()
    run.wait_for(r"worker +\| exited \(killed by SIGKILL.*restarting in")
    wait_until(lambda: sum(line.endswith(" ready.") for line in run.said) == 2)
    assert run.child("celery --app config --quiet worker").pid != worker.pid

    family = run.family()
    run.interrupt(times=2)
    assert run.process.wait(timeout=SECONDS) == 0
    assert_gone(family)
    run.wait_for(r"debrief +\| stopped")


def test_a_killed_supervisor_takes_its_children_along_and_the_next_recovers(
    start: Callable[..., Running],
) -> None:
    first = start("--no-demo")
    first.wait_for("ready at")
    family = first.family()
    first.process.kill()
    assert_gone(family)

    second = start("--no-demo")
    second.wait_for("ready at")
    assert second.get("/login/") == 200
    family = second.family()
    second.process.terminate()
    assert second.process.wait(timeout=SECONDS) == 0
    assert_gone(family)


def test_an_interrupt_while_starting_leaves_nothing(
    start: Callable[..., Running], data_dir: Path
) -> None:
    run = start("--no-demo")
    wait_until(lambda: bool(run.family()))
    family = run.family()
    run.interrupt()
    assert run.process.wait(timeout=SECONDS) == 0
    assert_gone(family)
    assert not [one for one in psutil.process_iter(["cmdline"]) if names(one, data_dir)]


def names(process: psutil.Process, data_dir: Path) -> bool:
    return str(data_dir) in " ".join(process.info["cmdline"] or [])


def test_a_taken_port_is_one_line(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal("--port", str(port), DATA_DIR=str(data_dir))
    assert said.startswith(f"debrief: can't listen on 127.0.0.1:{port} (")


def test_a_data_dir_that_cannot_be_written_is_one_line(data_dir: Path) -> None:
    data_dir.write_text("a file, not a folder")
    said = refusal("--port", str(free_port()), DATA_DIR=str(data_dir))
    assert f"DATA_DIR {data_dir} cannot be written" in said


def test_an_unreachable_database_is_one_line(data_dir: Path) -> None:
    url = f"postgres://somebody:secret@127.0.0.1:{free_port()}/debrief"
    said = refusal("--port", str(free_port()), DATA_DIR=str(data_dir), DATABASE_URL=url)
    assert "can't connect to the database" in said
    assert "secret" not in said


def test_an_unreachable_broker_is_one_line(data_dir: Path) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    said = refusal("--port", str(free_port()), DATA_DIR=str(data_dir), REDIS_URL=url)
    assert "can't connect to the broker at REDIS_URL" in said


def test_beyond_loopback_wants_key_and_hosts(data_dir: Path) -> None:
    said = refusal("--bind", "0.0.0.0", DATA_DIR=str(data_dir))
    assert said.endswith("set SECRET_KEY and ALLOWED_HOSTS")

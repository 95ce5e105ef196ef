"""`manage.py up` with a PostgreSQL and a Redis of one's own, as Debian packages them."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.config.running import SECONDS, Running, assert_gone, free_port, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("up")]


def postgres_binaries() -> Path:
    """The folder of the newest PostgreSQL of the system, from 15 on."""
    found = [
        folder
        for folder in Path("/usr/lib/postgresql").glob("*/bin")
        if folder.parent.name.isdecimal() and int(folder.parent.name) >= 15
    ]
    if not found:
        pytest.skip("no PostgreSQL 15 or newer here: apt-get install postgresql")
    return max(found, key=lambda folder: int(folder.parent.name))


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="debrief-own-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def database_url(folder: Path) -> Iterator[str]:
    binaries, cluster, port = postgres_binaries(), folder / "cluster", free_port()
    cluster.mkdir(mode=0o700)
    uid = gid = None
    if os.geteuid() == 0:  # which PostgreSQL refuses to run as
        entry = pwd.getpwnam("postgres")
        uid, gid = entry.pw_uid, entry.pw_gid
        os.chown(cluster, uid, gid)
    secret = folder / "secret"
    secret.write_text("p@ss/word")
    secret.chmod(0o644)
    initdb = [str(binaries / "initdb"), "-D", str(cluster), "-U", "own", "-A", "scram-sha-256"]
    subprocess.run(
        [*initdb, "--no-sync", f"--pwfile={secret}"],
        check=True,
        capture_output=True,
        cwd="/",
        user=uid,
        group=gid,
    )
    options = ["-c", f"port={port}", "-c", "unix_socket_directories=", "-c", "fsync=off"]
    server = subprocess.Popen(
        [str(binaries / "postgres"), "-D", str(cluster), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        user=uid,
        group=gid,
    )
    pid_file = cluster / "postmaster.pid"
    with ended(server):
        wait_until(pid_file.exists)
        wait_until(lambda: "ready" in pid_file.read_text())
        yield f"postgres://own:p%40ss%2Fword@127.0.0.1:{port}/postgres"


@pytest.fixture
def redis_url(folder: Path) -> Iterator[str]:
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("no Redis here: apt-get install redis-server")
    port = free_port()
    flags = ["--port", str(port), "--save", "", "--dir", str(folder), "--requirepass", "own"]
    with ended(subprocess.Popen([binary, *flags], stdout=subprocess.DEVNULL)):
        yield f"redis://:own@127.0.0.1:{port}/3"


@contextlib.contextmanager
def ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=SECONDS)


def test_everything_works_with_services_of_ones_own(
    folder: Path, database_url: str, redis_url: str
) -> None:
    own = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    with Running(folder / "data", **own) as run:
        run.wait_for("log in as demo with password")
        assert [run.get("/readyz"), run.get("/login/")] == [200, 200]
        family = run.family()
        assert not {"postgres", "valkey-server"} & {one.name() for one in family}
        run.interrupt()
        assert run.process.wait(timeout=SECONDS) == 0
        assert_gone(family)
    assert not (folder / "data" / "postgres").exists()

"""PgBouncer in transaction mode between processes of a test and their database."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection

from config.embedded.program import Program
from tests.config.running import free_port

from .harness import no_drum, wait_until

POOL_SIZE = 10
#: Debian installs it where only root's PATH leads.
BINARY = shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))

_CONFIGURATION = """\
[databases]
* = {server}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 400
"""


class Pooler:
    """A PgBouncer as docs/deployment.md describes it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.log = folder / "pgbouncer.log"
        self.process: subprocess.Popen[bytes] | None = None
        of = connection.settings_dict
        parts = {
            "host": of["HOST"] or of["OPTIONS"].get("host"),
            "port": of["PORT"],
            "user": of["USER"],
            "password": of["PASSWORD"],
        }
        server = " ".join(f"{key}={value}" for key, value in parts.items() if value)
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            _CONFIGURATION.format(server=server, port=self.port, pool_size=POOL_SIZE)
        )
        self.program = Program(
            name="pgbouncer",
            argv=[str(BINARY), str(configuration)],
            user=_owner(folder, str(parts["host"])),
            death_signal=signal.SIGKILL,
        )

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the variables of a process that reaches the database only through here."""
        of = connection.settings_dict
        address = f"{of['USER']}@127.0.0.1:{self.port}/{of['NAME']}"
        return {"DATABASE_URL": f"postgres://{address}?disable_server_side_cursors=true"}

    def start(self) -> None:
        """Start it and wait until it listens."""
        with self.log.open("ab") as log:
            self.process = self.program.spawn(log)
        wait_until(self._listens, drum=no_drum)

    def kill(self) -> None:
        """kill -9: all connections through it end."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def _listens(self) -> bool:
        """PgBouncer listens"""
        assert self.process
        assert self.process.poll() is None, self.log.read_text()
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0


def _owner(folder: Path, host: str) -> tuple[int, int] | None:
    """Return whoever may open the server's socket. PgBouncer doesn't run as root."""
    if os.geteuid() != 0:
        return None
    if host.startswith("/"):
        found = Path(host).stat()
        owner = found.st_uid, found.st_gid
    else:
        nobody = pwd.getpwnam("nobody")
        owner = nobody.pw_uid, nobody.pw_gid
    os.chown(folder, *owner)
    return owner


@contextmanager
def pooler() -> Iterator[Pooler]:
    """Run PgBouncer, or skip the test where it isn't installed."""
    if BINARY is None:
        pytest.skip("pgbouncer isn't installed (Debian: apt-get install pgbouncer)")
    folder = Path(tempfile.mkdtemp(prefix="debrief-pooler-"))
    running = Pooler(folder)
    try:
        running.start()
        yield running
    finally:
        if running.process and running.process.poll() is None:
            running.kill()
        shutil.rmtree(folder)


def pooled_connections() -> int:
    """Return how many connections to the test's database there are, but for the test's own."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        found: int = cursor.fetchone()[0]
    return found

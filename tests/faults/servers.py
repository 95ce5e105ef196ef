"""A PostgreSQL and a broker of a test's own, to be stopped and started under what uses them."""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import redis
from django.core.management import call_command
from django.db import connection

from config.embedded import paths, postgres, valkey
from config.embedded.program import Program


class Servers:
    """Both servers on a folder of their own, as durable as those of an installation."""

    def __init__(self, data_dir: Path | None = None) -> None:
        # Not pytest's folder: PostgreSQL does not run as root, and its user must get there.
        self.data_dir = data_dir or Path(tempfile.mkdtemp(prefix="debrief-faults-"))
        self.programs: dict[str, Program] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> Mapping[str, str]:
        """What makes a process with the settings of tests use these servers."""
        return {"DEBRIEF_TEST_DATA_DIR": str(self.data_dir), "DATABASE_URL": "", "REDIS_URL": ""}

    def start_all(self) -> None:
        """Prepare and start both."""
        self.programs = {
            "postgres": postgres.program(self.data_dir),
            "valkey": valkey.program(self.data_dir),
        }
        for name in self.programs:
            self.start(name)

    def start(self, name: str) -> None:
        """Start one and wait until it answers."""
        program = self.programs[name]
        assert program.log
        with program.log.open("ab") as log:
            self.processes[name] = program.spawn(log)
        deadline = time.monotonic() + 60
        while not program.ready():
            assert time.monotonic() < deadline, program.log.read_text()
            assert self.processes[name].poll() is None, program.log.read_text()
            time.sleep(0.05)

    def start_where_ended(self) -> None:
        """Start again what ended, as a supervisor does."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                self.start(name)

    def stop(self, name: str, how: signal.Signals) -> None:
        """Send a signal and wait for the end."""
        self.processes[name].send_signal(how)
        self.processes[name].wait(timeout=60)

    def restart_database(self, how: signal.Signals, *, away: float) -> None:
        """Stop PostgreSQL, leave it away for so many seconds, and start it again."""
        self.stop("postgres", how)
        connection.close()
        time.sleep(away)
        self.start("postgres")

    def empty_broker(self) -> None:
        """As a broker that keeps nothing comes up again: queues, bindings and keys are gone."""
        with redis.Redis(unix_socket_path=str(paths.valkey_socket(self.data_dir))) as client:
            client.flushall()

    def remove(self) -> None:
        """End what runs and remove the folder."""
        for name, process in self.processes.items():
            if process.poll() is None:
                self.stop(name, signal.SIGQUIT if name == "postgres" else signal.SIGKILL)
        shutil.rmtree(paths.run_dir(self.data_dir), ignore_errors=True)
        shutil.rmtree(self.data_dir, ignore_errors=True)

    @contextmanager
    def running(self) -> Iterator["Servers"]:
        """Run both; this process uses their database."""
        try:
            self.start_all()
            with self.as_database():
                yield self
        finally:
            self.remove()

    @contextmanager
    def as_database(self) -> Iterator[None]:
        """Let this process use the database here, and give it its tables."""
        before = dict(connection.settings_dict)
        connection.close()
        connection.settings_dict.update(
            NAME=postgres.DATABASE,
            USER=postgres.USER,
            PASSWORD="",
            HOST=str(paths.run_dir(self.data_dir)),
            PORT="",
        )
        try:
            call_command("migrate", verbosity=0)
            yield
        finally:
            connection.close()
            connection.settings_dict.update(before)

"""Real worker processes, started and killed by tests."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from django.db import connection

from apps.core.tasks import send
from config import programs


class Workers:
    """Celery workers as `manage.py up` runs them, over the database of this test.

    `sweep` stands for the scheduler: tests call it in their waiting loop, so that its rhythm is
    theirs.
    """

    def __init__(self, log: Path, *, concurrency: int = 16) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.log = log
        self.concurrency = concurrency

    def start(self) -> subprocess.Popen[bytes]:
        """Start one more worker; it is ready when it takes work."""
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.worker_settings",
            "TEST_DATABASE_NAME": str(connection.settings_dict["NAME"]),
            "ANALYSIS_CONCURRENCY": str(self.concurrency),
            "FAKE_API_KEY": "fake",
            "PYTHONWARNINGS": "ignore",
        }
        argv = [a if a != "INFO" else "WARNING" for a in programs.worker().argv]
        with self.log.open("ab") as log:
            process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def kill_one(self, chance: random.Random) -> None:
        """kill -9 of one of the living, and another one in its place."""
        victim = chance.choice([p for p in self.processes if p.poll() is None])
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        self.start()

    def kill_all(self) -> None:
        """kill -9 of every worker."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()

    def stop(self, timeout: float = 30) -> None:
        """SIGTERM, as a deploy sends it."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            process.wait(timeout=timeout)


def sweep() -> None:
    """One beat of the scheduler."""
    for name in ("analysis.sweep", "backfills.sweep"):
        send(name, queue="maintenance", kwargs={})


def wait_until(
    condition: Callable[[], bool],
    *,
    timeout: float = 60,
    every: float = 0.1,
    between: Callable[[], object] = lambda: None,
) -> None:
    """Look until the condition holds, beating the scheduler's drum once a second."""
    deadline = time.monotonic() + timeout
    beat = 0.0
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {condition.__doc__ or condition}")
        if time.monotonic() >= beat:
            sweep()
            beat = time.monotonic() + 1
        between()
        time.sleep(every)

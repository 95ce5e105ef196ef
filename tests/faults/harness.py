"""Real worker and scheduler processes, started and killed by tests."""

import random
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
from django.db import connection

from apps.core.tasks import send
from config import programs
from config.embedded.program import Program

LEASE_SECONDS = 6.0
"""The lease of workers in tests: the time to wait for what a killed one held."""


@dataclass
class Workers:
    """Celery workers as `manage.py up` runs them, over the database of this test.

    They end with the test's process, however that ends. `environment` is added to its own.
    """

    log: Path
    concurrency: int = 16
    environment: Mapping[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    others: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> subprocess.Popen[bytes]:
        """Start one more worker; it takes work some seconds later."""
        self.processes.append(self._spawn(programs.worker()))
        return self.processes[-1]

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        """Start one more scheduler, for tests that do not beat the drum themselves."""
        self.others.append(self._spawn(programs.scheduler()))
        return self.others[-1]

    def start_web(self, port: int) -> subprocess.Popen[bytes]:
        """Start a web server on this port of loopback; `/healthz` answers once it is there."""
        self.others.append(self._spawn(programs.web(bind="127.0.0.1", port=port)))
        return self.others[-1]

    @property
    def living(self) -> list[subprocess.Popen[bytes]]:
        """Return the workers that run."""
        return [process for process in self.processes if process.poll() is None]

    def kill_one(self, chance: random.Random) -> None:
        """kill -9 of one of the living workers, and another one in its place."""
        self._replace([chance.choice(self.living)])

    def kill_every_worker(self) -> None:
        """kill -9 of all workers at the same time, and as many others in their place."""
        self._replace(self.living)

    def _replace(self, victims: Sequence[subprocess.Popen[bytes]]) -> None:
        for victim in victims:
            victim.kill()
        for victim in victims:
            victim.wait()
        for _ in victims:
            self.start()

    def kill_all(self) -> None:
        """kill -9 of everything that was started here."""
        for process in (*self.processes, *self.others):
            if process.poll() is None:
                kill_whole(process)

    def stop(self, timeout: float = 30) -> None:
        """SIGTERM to the workers, as a deploy sends it."""
        for process in self.living:
            process.terminate()
        for process in self.processes:
            process.wait(timeout=timeout)

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        environment = {
            **program.env,
            "DJANGO_SETTINGS_MODULE": "tests.worker_settings",
            "TEST_DATABASE_NAME": str(connection.settings_dict["NAME"]),
            "TEST_LEASE_SECONDS": str(LEASE_SECONDS),
            "ANALYSIS_CONCURRENCY": str(self.concurrency),
            "FAKE_API_KEY": "fake",
            "PYTHONWARNINGS": "ignore",
            **self.environment,
        }
        argv = [a if a != "INFO" else "WARNING" for a in program.argv]
        with self.log.open("ab") as log:
            return replace(program, argv=argv, env=environment).spawn(log)


def kill_whole(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of a process and of those that it started: a web server has a worker of its own."""
    whole = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for one in whole:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(whole[:-1], timeout=30)
    process.wait()


def sweep() -> None:
    """One beat of the scheduler, sent from here: so its rhythm is the test's own."""
    for name in ("analysis.sweep", "runs.sweep"):
        send(name, queue="maintenance", kwargs={})


def wait_until(
    condition: Callable[[], bool],
    *,
    timeout: float = 60,
    every: float = 0.1,
    between: Callable[[], object] = lambda: None,
    drum: Callable[[], object] = sweep,
) -> None:
    """Look until the condition holds, beating the drum once a second."""
    deadline = time.monotonic() + timeout
    beat = 0.0
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {condition.__doc__ or condition}")
        if time.monotonic() >= beat:
            drum()
            beat = time.monotonic() + 1
        between()
        time.sleep(every)


def no_drum() -> None:
    """For tests whose schedulers are real."""

"""What every benchmark stands on: the embedded services, tuned as in real use, in a folder that
goes with the run; conversations; real worker processes; and what they all cost in CPU."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from config.embedded.program import Program

DATA_DIR = Path(os.environ.get("BENCH_DATA_DIR") or tempfile.mkdtemp(prefix="debrief-bench-"))
os.environ["BENCH_DATA_DIR"] = str(DATA_DIR)
os.environ["DATA_DIR"] = str(DATA_DIR)
os.environ["FAKE_API_KEY"] = "fake"
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
for _name in ("DATABASE_URL", "REDIS_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
    os.environ.pop(_name, None)


@contextmanager
def services(stopped: Callable[[], None] = lambda: None) -> Iterator[psutil.Process]:
    """PostgreSQL and Valkey, migrated and empty; yields PostgreSQL's process.

    ``stopped`` is called between their end and that of their folder.
    """
    import django

    django.setup()
    from django.core.management import call_command

    from config.embedded import postgres, valkey

    started = []
    try:
        for program in (postgres.program(DATA_DIR), valkey.program(DATA_DIR)):
            with (DATA_DIR / f"{program.name}.out").open("ab") as log:
                started.append((program, program.spawn(log)))
            until(program.ready, timeout=60)
        call_command("migrate", verbosity=0)
        yield psutil.Process(started[0][1].pid)
    finally:
        from django.db import connections

        connections.close_all()
        for program, process in reversed(started):
            process.send_signal(program.stop_signal)
            process.wait(timeout=60)
        if sys.exception() is None:
            stopped()
        shutil.rmtree(DATA_DIR, ignore_errors=True)


@contextmanager
def running(program: "Program", **environment: str) -> Iterator[psutil.Process]:
    """Run one of Debrief's programs, without its own log lines.

    Its connections to the database carry its name, so that they can be counted.
    """
    own = {**program.env, "PYTHONWARNINGS": "ignore", "PGAPPNAME": program.name, **environment}
    argv = [part if part != "INFO" else "WARNING" for part in program.argv]
    with (DATA_DIR / f"{program.name}.log").open("ab") as log:
        process = subprocess.Popen(argv, env={**os.environ, **own}, stdout=log, stderr=log)
        try:
            yield psutil.Process(process.pid)
        finally:
            process.send_signal(program.stop_signal)
            process.wait(timeout=60)


@contextmanager
def workers(how_many: int, *, concurrency: int) -> Iterator[list[psutil.Process]]:
    """Worker processes as `manage.py up` starts them."""
    from config import programs

    with ExitStack() as stack:
        yield [
            stack.enter_context(running(programs.worker(), ANALYSIS_CONCURRENCY=str(concurrency)))
            for _ in range(how_many)
        ]


def until(condition: Callable[[], bool], *, timeout: float, every: float = 0.05) -> None:
    """Wait, with a limit, so that a broken benchmark ends, with what its workers logged last."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            where = condition.__code__
            log = DATA_DIR / "workers.log"
            said = log.read_text(errors="replace")[-4_000:] if log.exists() else ""
            sys.exit(f"{said}\nnot within {timeout} s: {where.co_filename}:{where.co_firstlineno}")
        time.sleep(every)


def seconds(work: Callable[[], object]) -> float:
    """Return how long the work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def cpu_seconds(process: psutil.Process) -> float:
    """CPU of a process, its living children and those it has waited for."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        times = one.cpu_times()
        total += times.user + times.system
    own = process.cpu_times()
    return total + own.children_user + own.children_system


def machine() -> str:
    """The machine, in a few words, for the results."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown CPU",
    )
    memory = psutil.virtual_memory().total / 2**30
    version = sys.version.split()[0]
    return f"{psutil.cpu_count()} cores ({model}), {memory:.0f} GiB, Python {version}"

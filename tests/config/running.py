"""A `manage.py up` as a person starts it, for tests that look at it from outside."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import psutil
import pytest
from django.conf import settings

SECONDS = 150.0


class Running:
    """A `manage.py up` in a process group of its own, as a shell would start it."""

    def __init__(self, data_dir: Path, *options: str, **env: str) -> None:
        self.port = free_port()
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--port", str(self.port), *options],
            cwd=settings.BASE_DIR,
            env=environment(DATA_DIR=str(data_dir), **env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout
        with self.process.stdout as said:
            for line in said:
                self.said.append(line.rstrip())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=SECONDS)
        self._listener.join(timeout=SECONDS)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first line, from the start on, that matches."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            for line in list(self.said):
                if found := re.search(pattern, line):
                    return found
            if not self._listener.is_alive():
                break  # it has ended, and this was all it said
            time.sleep(0.05)
        pytest.fail(f"{pattern!r} was not said:\n" + "\n".join(self.said))

    def get(self, path: str) -> int:
        """The status that a page answers with."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as page:
                return int(page.status)
        except urllib.error.HTTPError as error:
            return error.code

    def family(self) -> list[psutil.Process]:
        """Every process that it has started, and theirs."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, mark: str) -> psutil.Process:
        """The child whose command line contains `mark`."""
        return next(one for one in self.family() if mark in " ".join(one.cmdline()))

    def interrupt(self, times: int = 1) -> None:
        """Ctrl-C, which a terminal sends to the whole process group."""
        for _ in range(times):
            os.killpg(self.process.pid, signal.SIGINT)
            time.sleep(0.05)


def started(environ: Mapping[str, str], *arguments: str) -> "subprocess.Popen[str]":
    """Start a command of `manage.py`."""
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: "subprocess.Popen[str]") -> tuple[int, list[str]]:
    """Wait for its end; return its exit code and its lines."""
    said, _ = process.communicate(timeout=SECONDS)
    return process.returncode, said.splitlines()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def environment(**own: str) -> dict[str, str]:
    """The environment of a person who has set nothing but `own`."""
    ours = {
        "DATABASE_URL", "REDIS_URL", "DATA_DIR", "SECRET_KEY", "ALLOWED_HOSTS", "DEBUG",
        "OPENAI_API_KEY", "OPENAI_BASE_URL", "DJANGO_SETTINGS_MODULE",
    }  # fmt: skip
    return {name: value for name, value in os.environ.items() if name not in ours} | own


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_gone(family: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive, [one.cmdline() for one in alive]

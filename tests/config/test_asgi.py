"""The web server's processes: none outlives its main one."""

import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
from django.conf import settings

from .running import assert_gone, environment, free_port, wait_until


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent")
def test_a_worker_ends_with_its_killed_main_process(tmp_path: Path) -> None:
    port = free_port()
    options = ["--interface", "asginl", "--port", str(port), "--log-level", "error"]
    with subprocess.Popen(
        [sys.executable, "-m", "granian", *options, "config.asgi:application"],
        cwd=settings.BASE_DIR,
        env=environment(DATA_DIR=str(tmp_path)),
        start_new_session=True,
    ) as main:
        try:
            wait_until(lambda: answers(port))
            workers = psutil.Process(main.pid).children()
        finally:
            main.kill()
    assert workers
    assert_gone(workers)

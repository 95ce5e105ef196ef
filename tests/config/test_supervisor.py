"""What the supervisor does with a program that does not stay up."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import supervisor
from config.embedded.program import Program
from config.supervisor import STEADY_SECONDS, Child, StopSignals, Supervisor


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path, StopSignals())
    yield made
    made.stop()


def python(name: str, code: str) -> Program:
    return Program(name=name, argv=[sys.executable, "-c", code])


def crash(running: Supervisor, child: Child, times: int) -> None:
    """Look after the children until this one has ended so often."""
    deadline = time.monotonic() + 60
    while child.crashes < times:
        assert time.monotonic() < deadline
        running.look_after_all()
        time.sleep(0.01)


def test_one_that_crashes_again_and_again_takes_no_other_down(
    running: Supervisor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pauses = supervisor._PAUSES
    monkeypatch.setattr(supervisor, "_PAUSES", (0.01,) * len(pauses))
    worker = running.start(python("worker", "import time; time.sleep(600)"))
    web = running.start(python("web", "raise SystemExit('no port')"))
    crash(running, web, 8)
    assert worker.process.poll() is None
    assert worker.crashes == 0
    assert capsys.readouterr().out.count("restarting in") >= 8
    assert list(pauses) == sorted(pauses)
    assert pauses[-1] >= 30


def test_one_that_ran_for_a_while_is_started_again_at_once(running: Supervisor) -> None:
    web = running.start(python("web", "raise SystemExit(1)"))
    crash(running, web, 1)
    web.crashes, web.started_at = 6, time.monotonic() - STEADY_SECONDS - 1
    web.process.wait(timeout=30)
    running._note_crash(web, time.monotonic())
    assert web.crashes == 1
    assert web.restart_at is not None
    assert web.restart_at - time.monotonic() < 1

"""Run the programs of one installation: start them, show their output, restart them after a crash.

It is written for Debrief because no supervisor that installs from a wheel does all of it: start in
order and wait for each to respond, restart with a growing pause, stop in reverse order with a grace
time for each, and leave nothing behind even when it is killed itself (config/embedded/leash.py
where the kernel helps, otherwise the file of leftovers).
"""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import psutil

from config.embedded.program import Program

STEADY_SECONDS = 60.0
"""A program that ran for this long has recovered: its next crash is a first one again."""
_PAUSES = (0.2, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
_POLL_SECONDS = 0.05
_BIG_LOG = 10 * 1024 * 1024
_PROBE_EVERY = 5.0
_HANG_GRACE = 10.0
_LONGEST_PATIENCE = 15 * 60.0


class StopRequested(BaseException):
    """Someone asked us to stop: Ctrl-C, SIGTERM, or the terminal was closed.

    Not an Exception: it must pass through whatever happens to be running, a migration included.
    """


class Crashed(Exception):
    """A program does not stay up; the message is the reason."""


class StopSignals:
    """Turns the first request to stop into StopRequested, once, and counts the later ones."""

    _NAMES = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.count = 0
        self._raises = True

    def install(self) -> None:
        """Listen from now on."""
        for name in self._NAMES:
            signal.signal(name, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self._raises:
            self._raises = False
            raise StopRequested

    def from_now_on_only_count(self) -> None:
        """Raise no exceptions from now on: only stopping follows."""
        self._raises = False

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold a request back while a program is started, so that none is started and forgotten."""
        before, count = self._raises, self.count
        self._raises = False
        try:
            yield
        finally:
            self._raises = before
        if before and self.count > count:
            self._raises = False
            raise StopRequested


@dataclass
class Child:
    """A program, and the process that runs it now."""

    program: Program
    process: "subprocess.Popen[bytes]"
    started_at: float = field(default_factory=time.monotonic)
    crashes: int = 0
    last_words: deque[str] = field(default_factory=lambda: deque(maxlen=20))
    restart_at: float | None = None
    probe_at: float = 0.0
    silent_since: float | None = None
    hangs: int = 0

    def patience(self, asked: float) -> float:
        """Return how long it may be silent: twice as long after each restart that did not help.

        So one that only needs long to recover is left to it in the end.
        """
        return min(asked * float(2**self.hangs), _LONGEST_PATIENCE)


class Supervisor:
    """Owns the children. All of it runs in the main thread, but for one reader of output each."""

    def __init__(self, data_dir: Path, signals: StopSignals) -> None:
        self._signals = signals
        self._children: list[Child] = []
        self._leftovers = data_dir / "children.json"
        self._printing = threading.Lock()

    def end_leftovers(self) -> None:
        """End what an earlier supervisor, killed, could not: found by pid and time of birth."""
        try:
            recorded = json.loads(self._leftovers.read_text())
        except (OSError, ValueError):
            return
        for pid, born in recorded:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                if abs(process.create_time() - born) < 1:
                    _kill_group(pid)
        self._leftovers.unlink(missing_ok=True)

    def start(self, program: Program) -> Child:
        """Start a program; it is not awaited."""
        with self._signals.held():
            child = Child(program, self._spawn(program))
            self._children.append(child)
            self._attend(child)
            self._record()
        return child

    def wait_until_ready(self, child: Child, *, seconds: float) -> None:
        """Return when it responds. Raises Crashed when it ends or takes longer than `seconds`."""
        deadline = time.monotonic() + seconds
        while not child.program.ready():
            if child.process.poll() is not None:
                raise Crashed(f"{child.program.name} did not start: {self._reason(child)}")
            if time.monotonic() > deadline:
                raise Crashed(
                    f"{child.program.name} isn't responding after {seconds:.0f} seconds: "
                    f"{self._reason(child)}"
                )
            time.sleep(_POLL_SECONDS)

    def watch(self) -> None:
        """Restart what crashes, indefinitely."""
        while True:
            self.look_after_all()
            time.sleep(_POLL_SECONDS * 2)

    def look_after_all(self) -> None:
        """Look at each child once: note a crash, restart after its pause, end what hangs."""
        now = time.monotonic()
        for child in self._children:
            if child.restart_at is not None:
                if now >= child.restart_at:
                    self._restart(child)
            elif child.process.poll() is not None:
                self._note_crash(child, now)
            elif child.program.patience is not None and now >= child.probe_at:
                self._probe(child, child.program.patience)

    def _probe(self, child: Child, patience: float) -> None:
        """Probe a child; one that has been silent for too long is ended, and so restarted."""
        answers = child.program.ready()
        now = time.monotonic()
        child.probe_at = now + _PROBE_EVERY
        if answers:
            child.silent_since, child.hangs = None, 0
            return
        if child.silent_since is None:
            child.silent_since = now
        silent = now - child.silent_since
        if silent < child.patience(patience):
            return
        self.say(child.program.name, f"hasn't responded for {silent:.0f} s; restarting it")
        child.silent_since, child.hangs = None, child.hangs + 1
        _end_family(child.process, child.program.hang_signal)

    def stop(self) -> None:
        """Stop all in reverse order of their start, each within its grace time.

        Any further Ctrl-C ends the grace of programs that keep nothing; databases always finish.
        """
        self._signals.from_now_on_only_count()
        for child in reversed(self._children):
            self._stop(child)
        self._leftovers.unlink(missing_ok=True)

    def say(self, name: str, line: str) -> None:
        """Print a line under the name of who says it."""
        # A closed terminal must not keep us from stopping in order.
        with self._printing, contextlib.suppress(OSError, ValueError):
            print(f"{name:<9} | {line}", flush=True)  # noqa: T201 (this is the console)

    def _spawn(self, program: Program) -> "subprocess.Popen[bytes]":
        if program.log is None:
            return program.spawn(subprocess.PIPE)
        if program.log.exists() and program.log.stat().st_size > _BIG_LOG:
            program.log.replace(program.log.with_suffix(".log.1"))
        with program.open_log() as log:
            return program.spawn(log)

    def _attend(self, child: Child) -> None:
        if child.process.stdout is not None:
            threading.Thread(target=self._relay, args=(child,), daemon=True).start()

    def _relay(self, child: Child) -> None:
        assert child.process.stdout
        with child.process.stdout as output:
            for raw in output:
                line = raw.decode(errors="replace").rstrip()
                child.last_words.append(line)
                self.say(child.program.name, line)

    def _note_crash(self, child: Child, now: float) -> None:
        # One that doesn't stay up takes no other down with it: it is started ever more rarely.
        child.crashes = child.crashes + 1 if now - child.started_at < STEADY_SECONDS else 1
        reason = self._reason(child)
        name = child.program.name
        pause = _PAUSES[min(child.crashes, len(_PAUSES)) - 1]
        _kill_group(child.process.pid)  # whatever it had started itself
        child.restart_at = now + pause
        self.say(name, f"exited ({reason}); restarting in {pause:g} s")

    def _restart(self, child: Child) -> None:
        with self._signals.held():
            child.restart_at = child.silent_since = None
            child.started_at = time.monotonic()
            child.process = self._spawn(child.program)
            self._attend(child)
            self._record()

    def _stop(self, child: Child) -> None:
        process, program = child.process, child.program
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(program.stop_signal)
            deadline = time.monotonic() + program.grace
            while process.poll() is None and time.monotonic() < deadline:
                if self._signals.count > 1 and not program.keeps_data:
                    break
                time.sleep(_POLL_SECONDS)
        _kill_group(process.pid)
        process.wait()

    def _reason(self, child: Child) -> str:
        code = child.process.poll()
        if code is None:
            how = "running but not responding"
        elif code < 0:
            how = f"killed by {signal.Signals(-code).name}"
        else:
            how = f"exit code {code}"
        words = _last_line(child)
        return f"{how}; last output: {words}" if words else how

    def _record(self) -> None:
        born = []
        for child in self._children:
            with contextlib.suppress(psutil.Error):
                born.append([child.process.pid, psutil.Process(child.process.pid).create_time()])
        self._leftovers.write_text(json.dumps(born))


def _last_line(child: Child) -> str:
    """Return the last thing it said, from its log file or from the relayed output."""
    lines = list(child.last_words)
    if child.program.log is not None:
        with contextlib.suppress(OSError), child.program.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 4096))
            lines = log.read().decode(errors="replace").splitlines()
    said = [line.strip() for line in lines if line.strip()]
    return said[-1] if said else ""


def _end_family(process: "subprocess.Popen[bytes]", how: signal.Signals) -> None:
    """End a process, and whatever of its descendants it leaves behind."""
    family: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        family = psutil.Process(process.pid).children(recursive=True)
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(how)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_HANG_GRACE)
    _kill_group(process.pid)
    for one in family:
        with contextlib.suppress(psutil.Error):
            one.kill()
    process.wait()


def _kill_group(leader: int) -> None:
    """Kill the rest of the session that a child leads."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)

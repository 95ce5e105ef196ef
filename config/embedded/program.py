"""A program that runs next to Debrief: how it starts, responds, and stops."""

import contextlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from config.embedded import leash


class EmbeddedError(Exception):
    """An embedded part cannot run here; the message is for people."""


def private_folder(path: Path) -> None:
    """Make a folder that only its owner can look into, or make one that is there so."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(path.stat().st_mode) != 0o700:  # one of an older version was open
        with contextlib.suppress(PermissionError):  # somebody else's: its owner decides
            path.chmod(0o700)


@dataclass(frozen=True)
class Program:
    """A program and its manners. Times are seconds."""

    name: str
    argv: list[str]
    ready: Callable[[], bool] = field(default=lambda: True)
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 10.0
    keeps_data: bool = False  # then an impatient second Ctrl-C does not cut its grace short
    # What the kernel sends when the supervisor is killed and cannot stop it in order.
    death_signal: signal.Signals = signal.SIGTERM
    # What ends it when it hangs, and for how long it may be silent before that; None: not watched.
    hang_signal: signal.Signals = signal.SIGKILL
    patience: float | None = None
    user: tuple[int, int] | None = None  # uid and gid to run as; None: our own
    cwd: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None  # its output goes to this file; None: to the supervisor's own

    def open_log(self) -> "IO[bytes]":
        """Open the log to append to it; no one else on this machine may read it."""
        assert self.log
        private_folder(self.log.parent)
        descriptor = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.fchmod(descriptor, 0o600)  # one of an older version was readable
        return os.fdopen(descriptor, "ab")

    def spawn(self, output: "int | IO[bytes]") -> "subprocess.Popen[bytes]":
        """Start it in a session of its own: a terminal's Ctrl-C reaches only the supervisor."""
        user = "-" if self.user is None else "{}:{}".format(*self.user)
        leashed = [sys.executable, "-IS", leash.__file__, str(os.getpid())]
        return subprocess.Popen(
            [*leashed, str(int(self.death_signal)), user, *self.argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=self.cwd,
            env={**os.environ, **self.env},
            start_new_session=True,
        )

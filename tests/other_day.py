"""Run the tests on another day: `python -m tests.other_day [MOMENT…] [-- PYTEST ARGUMENTS]`.

A test that passes only today, or only in the morning, uses the wall clock unseen. This moves the
wall clock of every process, PostgreSQL and Valkey included, with a small library that the C
compiler of the machine builds from tests/clock.c, and runs everything but the browser tests. The
clock runs on from the moment, so that midnight, the new month or the changed hour falls into the
run. (libfaketime moves the clock that timed waits go by as well, and they never end.)

    python -m tests.other_day 2028-02-29T00:05 2026-11-01T05:50@America/New_York -- tests/intake
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

#: In UTC; the name after @ is the TIME_ZONE of the installation.
MOMENTS = (
    "2027-01-31T23:50",  # the end of a month
    "2028-02-29T00:05",  # a leap day
    "2026-03-29T00:50@Europe/Berlin",  # an hour is left out
    "2026-11-01T05:50@America/New_York",  # an hour comes twice
    "2026-12-31T23:58",  # the end of a year
)
_SOURCE = Path(__file__).with_name("clock.c")
_SKIPPED = "not slow and not browser"


@dataclass(frozen=True)
class Moment:
    """When, in UTC, and in which zone the installation lives."""

    at: datetime
    zone: str

    @classmethod
    def read(cls, text: str) -> "Moment":
        at, _, zone = text.partition("@")
        return cls(datetime.fromisoformat(at).replace(tzinfo=UTC), zone or "UTC")

    def environment(self, library: Path) -> dict[str, str]:
        """Return what makes every process believe in this moment."""
        offset = round((self.at - datetime.now(UTC)).total_seconds())
        return {
            "TIME_ZONE": self.zone,
            "LD_PRELOAD": str(library),
            "DEBRIEF_CLOCK": f"{offset:+d}",
        }


def main(arguments: list[str]) -> int:
    """Run the suite at each moment; the number of moments at which it failed."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    moments, options = arguments[:at], arguments[at + 1 :]
    compiler = shutil.which("cc")
    if compiler is None:
        _say("Skipped: there is no C compiler (Debian: apt-get install gcc libc6-dev).")
        return 0
    with TemporaryDirectory() as folder:
        return run_at(moments or MOMENTS[:1], options, build_library(compiler, Path(folder)))


def run_at(moments: Sequence[str], options: list[str], library: Path) -> int:
    """Run the suite at each moment; the number of moments at which it failed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", _SKIPPED]
    failed = []
    for text in moments:
        _say(f"The tests at {text}")
        env = _own_environment() | Moment.read(text).environment(library)
        if subprocess.run([*command, *options], env=env, check=False).returncode:
            failed.append(text)
    if failed:
        _say(f"Failed at {', '.join(failed)}")
    return len(failed)


def _own_environment() -> dict[str, str]:
    """Return ours without what a run of tests that this one is a part of has set for itself."""
    of_a_run = ("PYTEST_", "DEBRIEF_TEST_", "DATA_DIR")
    return {name: value for name, value in os.environ.items() if not name.startswith(of_a_run)}


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (a program for people)


def build_library(compiler: str, folder: Path) -> Path:
    """Compile what moves the clock into a folder."""
    folder.chmod(0o755)  # PostgreSQL runs as another user where the tests run as root
    library = folder / "clock.so"
    options = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror"]
    command = [compiler, *options, "-o", str(library), str(_SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return library


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

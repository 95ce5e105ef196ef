"""Run the tests on another day: `python -m tests.other_day [MOMENT…] [-- PYTEST ARGUMENTS]`.

A test that passes only today, or only in the morning, uses the wall clock unseen. This moves the
clock of every process, PostgreSQL and Valkey included, with libfaketime (Debian: apt-get install
libfaketime), and runs everything but the browser tests. The clock runs on from the moment, so that
midnight, the new month or the changed hour falls into the run.

    python -m tests.other_day 2028-02-29T00:05 2026-11-01T05:50@America/New_York -- tests/intake
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

#: In UTC; the name after @ is the TIME_ZONE of the installation.
MOMENTS = (
    "2027-01-31T23:50",  # the end of a month
    "2028-02-29T00:05",  # a leap day
    "2026-03-29T00:50@Europe/Berlin",  # an hour is left out
    "2026-11-01T05:50@America/New_York",  # an hour comes twice
    "2026-12-31T23:58",  # the end of a year
)
_LIBRARIES = (
    "/usr/lib/*/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
    "/usr/local/lib/faketime/libfaketime.so.1",
)
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
            "FAKETIME": f"{offset:+d}",
            "FAKETIME_DONT_RESET": "1",  # children go on from the same moment
            "NO_FAKE_STAT": "1",
        }


def main(arguments: list[str]) -> int:
    """Run the suite at each moment; the number of moments at which it failed."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    moments, options = arguments[:at], arguments[at + 1 :]
    library = find_library()
    if library is None:
        _say("Skipped: libfaketime is not installed (Debian: apt-get install libfaketime).")
        return 0
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", _SKIPPED]
    failed = []
    for text in moments or MOMENTS[:1]:
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


def find_library() -> Path | None:
    """Return libfaketime where a distribution puts it."""
    for pattern in _LIBRARIES:
        for found in Path("/").glob(pattern.lstrip("/")):
            return found
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

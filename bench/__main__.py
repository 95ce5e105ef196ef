"""`make bench`: run the benchmarks and print a table; `python -m bench throughput` runs one."""

import sys
from datetime import UTC, datetime
from importlib import import_module

from bench.ground import machine

ALL = ("throughput", "intake", "money", "report", "scorecards", "insights", "bundled")
HEAD = ("", "work", "ours", "yardstick", "ratio", "CPU", "goal")


def main() -> None:
    """Each benchmark answers rows; the table is Markdown, as docs/benchmarks.md keeps it."""
    rows = [row for name in sys.argv[1:] or ALL for row in import_module(f"bench.{name}").main()]
    print(f"\n{datetime.now(UTC):%Y-%m-%d} on {machine()}\n")
    for row in (HEAD, ("---",) * len(HEAD), *rows):
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()

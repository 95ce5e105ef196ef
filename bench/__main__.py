"""`make bench`: run the benchmarks and print a table; `make bench BENCH=S8` runs one."""

import sys
from datetime import UTC, datetime
from importlib import import_module

from bench.ground import machine

ALL = (
    "throughput",
    "intake",
    "money",
    "report",
    "scorecards",
    "previews",
    "lists",
    "large_runs",
    "insights",
    "latency",
    "soak",
    "fleet",
    "walk",
    "bundled",
)
#: By the number of its goal in docs/benchmarks.md.
BY_GOAL = {
    "S1": "throughput",
    "S2": "throughput",
    "S3": "previews",
    "S4": "large_runs",
    "S5": "lists",
    "S6": "intake",
    "S7": "insights",
    "S8": "report",
    "S9": "latency",
    "S10": "soak",
    "S11": "money",
    "S12": "fleet",
}
HEAD = ("", "work", "ours", "yardstick", "ratio", "CPU", "goal")


def main() -> None:
    """Each benchmark returns rows; the table is in Markdown, as in docs/benchmarks.md."""
    names = [BY_GOAL.get(name.upper(), name) for name in sys.argv[1:]] or ALL
    rows = [row for name in names for row in import_module(f"bench.{name}").main()]
    print(f"\n{datetime.now(UTC):%Y-%m-%d} on {machine()}\n")
    for row in (HEAD, ("---",) * len(HEAD), *rows):
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()

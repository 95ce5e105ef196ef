"""S12 of docs/benchmarks.md: two worker processes against one, and how busy their slots are.

First a model of 200 ms, where twice the slots should do twice the work; then one of 20 s, where a
slot that waits for anything but the model is seen.
"""

import os

from bench.backfills import agent_with_calls, fake_model, rate_of, start_backfill
from bench.ground import services, workers

ITEMS = int(os.environ.get("BENCH_ITEMS") or 3_000)
SLOW, WAVES = 20.0, 3
IN_FLIGHT = 20


def main() -> list[tuple[str, ...]]:
    """Return both rows."""
    with services():
        one, two = _rate(1), _rate(2)
        limit = 2 * IN_FLIGHT / SLOW
        slow = _rate(2, latency=SLOW, items=WAVES * 2 * IN_FLIGHT)
    return [
        (
            "S12",
            f"two workers, {IN_FLIGHT} in flight each, 200 ms model",
            f"{two:.0f}/s",
            f"one worker {one:.0f}/s",
            f"{two / one:.2f}",
            "",
            "≥ 1.8",
        ),
        (
            "S12",
            f"two workers, {IN_FLIGHT} in flight each, 20 s model",
            f"{slow:.2f}/s",
            f"limit {limit:.2f}/s",
            f"{slow / limit:.2f}",
            "",
            "≥ 0.95",
        ),
    ]


def _rate(how_many: int, *, latency: float = 0.2, items: int = ITEMS) -> float:
    """Return the items a second of so many workers, warm as workers are."""
    with fake_model(latency) as (_, model):
        agent = agent_with_calls(model, items)
        with workers(how_many, concurrency=IN_FLIGHT) as processes:
            rate_of(start_backfill(agent, 2 * how_many), processes)
            return rate_of(start_backfill(agent, items), processes)

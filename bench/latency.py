"""S9 of docs/benchmarks.md: how long a rerun takes while a backfill fills the worker.

The yardstick is the same rerun while nothing else runs.
"""

import os
import statistics
import time
from typing import Any

from bench.backfills import agent_with_calls, done_items, fake_model, rate_of, start_backfill
from bench.ground import services, until, workers

ITEMS = int(os.environ.get("BENCH_ITEMS") or 50_000)
RERUNS = 30
IN_FLIGHT = 64


def main() -> list[tuple[str, ...]]:
    """Return the row of the median, and of the slowest but one in ten."""
    with services(), fake_model(0.2) as (_, model):
        from apps.accounts.actors import Actor
        from apps.runs.control import cancel

        agent, other = agent_with_calls(model, ITEMS), agent_with_calls(model, 2 * RERUNS)
        with workers(1, concurrency=IN_FLIGHT) as processes:
            rate_of(start_backfill(other, 5), processes)  # until the worker listens
            _reruns(other, 5)
            idle = _reruns(other, RERUNS)
            run = start_backfill(agent, ITEMS)
            until(lambda: done_items(run, processes) >= min(1_000, ITEMS // 10), timeout=120)
            busy = _reruns(other, RERUNS)
            run.refresh_from_db()
            assert run.is_active, "the backfill ended before the reruns"
            cancel(run=run, by=Actor.system("bench"))
    return [
        _row("median", statistics.median(busy), statistics.median(idle)),
        _row("p90", _p90(busy), _p90(idle)),
    ]


def _p90(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.9)]


def _row(name: str, busy: float, idle: float) -> tuple[str, ...]:
    work = f"rerun while {ITEMS:,} items run on a 200 ms model, {name}"
    ratio = f"{busy / idle:.2f}"
    return "S9", work, f"{busy * 1000:.0f} ms", f"idle {idle * 1000:.0f} ms", ratio, "", "≤ 1.5 ×"


def _reruns(agent: Any, how_many: int) -> list[float]:
    """Return the seconds from each request to its recorded result, one after the other."""
    from apps.accounts.actors import Actor
    from apps.analysis.services import request_rerun
    from apps.conversations.models import Conversation

    found = []
    for conversation in Conversation.objects.filter(agent=agent)[:how_many]:
        began = time.perf_counter()
        analysis = request_rerun(conversation=conversation, by=Actor.system("bench"))
        until(lambda one=analysis: _is_over(one), timeout=60, every=0.005)  # type: ignore[misc]
        found.append(time.perf_counter() - began)
    return found


def _is_over(analysis: Any) -> bool:
    analysis.refresh_from_db(fields=["state"])
    return bool(analysis.state == "succeeded")

"""S1 and S2 of docs/benchmarks.md: how fast a backfill runs, against the client alone.

S1: a model with 200 ms latency, 64 in flight, one worker process, everything recorded.
S2: a model that responds at once, where only CPU counts.
"""

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import psutil

from bench.backfills import agent_with_calls, fake_model, rate_of, start_backfill
from bench.ground import DATA_DIR, cpu_seconds, services, workers

CONVERSATIONS = 3_000
IN_FLIGHT = 64
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Round:
    """One round: conversations a second here and in the bare loop, CPU milliseconds each."""

    ours: float
    bare: float
    cpu_worker: float
    cpu_database: float
    cpu_bare: float


def main() -> list[tuple[str, ...]]:
    """Run both and answer the rows of the results table."""
    with services() as postgres:
        return [
            _row("S1", "200 ms model, 64 in flight", 0.2, postgres),
            _row("S2", "model that responds at once", 0.0, postgres),
        ]


def _row(name: str, what: str, latency: float, postgres: psutil.Process) -> tuple[str, ...]:
    rounds = _rounds(latency, postgres)
    ours = statistics.median(r.ours for r in rounds)
    bare = statistics.median(r.bare for r in rounds)
    ratio = statistics.median(r.ours / r.bare for r in rounds)
    worker = statistics.median(r.cpu_worker for r in rounds)
    database = statistics.median(r.cpu_database for r in rounds)
    cpu_bare = statistics.median(r.cpu_bare for r in rounds)
    limit = IN_FLIGHT / latency if latency else None
    against = f"{ours / limit:.2f} of the limit {limit:.0f}/s" if limit else "—"
    goal = "≥ 0.90 of limit, ≥ 0.95 of bare" if limit else "≥ 0.5 of bare, ≤ 2.5 ms CPU"
    return (
        name,
        what,
        f"{ours:.0f}/s",
        f"bare loop {bare:.0f}/s ({cpu_bare:.2f} ms CPU)",
        f"{ratio:.2f} of bare; {against}",
        f"{worker + database:.2f} ms CPU a session (worker {worker:.2f}, database {database:.2f})",
        goal,
    )


def _rounds(latency: float, postgres: psutil.Process) -> list[Round]:
    with fake_model(latency) as (fake, model):
        agent = agent_with_calls(model, CONVERSATIONS)
        found = []
        with workers(1, concurrency=IN_FLIGHT) as processes:
            _ours(agent, min(CONVERSATIONS, 300), processes[0], postgres)  # warm, as a worker is
            bodies = fake.bodies
            for _ in range(ROUNDS):
                bare = _bare(fake.url, bodies)
                rate, cpu_worker, cpu_database = _ours(agent, CONVERSATIONS, processes[0], postgres)
                found.append(Round(rate, bare["rate"], cpu_worker, cpu_database, bare["cpu_ms"]))
        return found


def _ours(
    agent: Any, how_many: int, worker: psutil.Process, postgres: psutil.Process
) -> tuple[float, float, float]:
    """Backfill this many; return conversations a second and CPU milliseconds of both sides."""
    before = cpu_seconds(worker), cpu_seconds(postgres)
    rate = rate_of(start_backfill(agent, how_many), [worker])
    after = cpu_seconds(worker), cpu_seconds(postgres)
    each = [(b - a) / how_many * 1000 for a, b in zip(before, after, strict=True)]
    return rate, each[0], each[1]


def _bare(url: str, bodies: list[dict[str, Any]]) -> dict[str, float]:
    path = DATA_DIR / "requests.json"
    path.write_text(json.dumps([bodies[i % len(bodies)] for i in range(CONVERSATIONS)]))
    command = [sys.executable, "-m", "bench.bare", url, str(path), str(IN_FLIGHT)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer

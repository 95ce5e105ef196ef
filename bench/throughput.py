"""S1 and S2 of docs/benchmarks.md: how fast a backfill runs, against the client alone.

S1: a model with 200 ms latency, 64 in flight, one worker process, everything recorded.
S2: a model that answers at once, where only CPU counts.
"""

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import psutil

from bench.ground import DATA_DIR, cpu_seconds, services, until, workers

SESSIONS = 3_000
IN_FLIGHT = 64
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Round:
    """One round: sessions a second of ours and of the bare loop, CPU milliseconds a session."""

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
            _row("S2", "model that answers at once", 0.0, postgres),
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
    from tests.factories import make_agent, make_conversations, make_model
    from tests.fakes.fixtures import start

    fake = start(latency)
    try:
        model = make_model(base_url=fake.url, api_key_env="FAKE_API_KEY")
        agent = make_agent(model=model, schema=_SCHEMA)
        make_conversations(agent, SESSIONS, messages=_MESSAGES)
        found = []
        with workers(1, concurrency=IN_FLIGHT) as processes:
            _ours(agent, min(SESSIONS, 300), processes[0], postgres)  # warm, as a worker is
            bodies = fake.bodies
            for _ in range(ROUNDS):
                bare = _bare(fake.url, bodies)
                rate, cpu_worker, cpu_database = _ours(agent, SESSIONS, processes[0], postgres)
                found.append(Round(rate, bare["rate"], cpu_worker, cpu_database, bare["cpu_ms"]))
        return found
    finally:
        fake.stop()


def _ours(
    agent: Any, how_many: int, worker: psutil.Process, postgres: psutil.Process
) -> tuple[float, float, float]:
    """Backfill so many; sessions a second and CPU milliseconds a session of both sides."""
    from django.db.models import Max

    from apps.accounts.actors import Actor
    from apps.runs.models import Run
    from apps.runs.options import Options
    from apps.runs.services import start
    from apps.runs.tasks import sweep

    before = cpu_seconds(worker), cpu_seconds(postgres)
    run = start(
        channel="voice",
        params={"agent": [agent.public_id]},
        options=Options(sample_count=how_many, include_analyzed=True),
        by=Actor.system("bench"),
    )
    until(lambda: _beat(run.pk, Run, sweep, worker), timeout=300, every=0.25)
    run.refresh_from_db()
    last = run.items.aggregate(last=Max("finished_at"))["last"]
    assert run.started_at is not None
    assert run.items.filter(state="done").count() == how_many
    seconds = (last - run.started_at).total_seconds()
    after = cpu_seconds(worker), cpu_seconds(postgres)
    each = [(b - a) / how_many * 1000 for a, b in zip(before, after, strict=True)]
    return how_many / seconds, each[0], each[1]


def _beat(pk: int, model: Any, sweep: Any, worker: psutil.Process) -> bool:
    """Whether the run has ended; kicks the engines as the scheduler would."""
    if worker.status() == psutil.STATUS_ZOMBIE:
        sys.exit((DATA_DIR / "workers.log").read_text())
    sweep()
    return bool(model.objects.get(pk=pk).state == "completed")


def _bare(url: str, bodies: list[dict[str, Any]]) -> dict[str, float]:
    path = DATA_DIR / "requests.json"
    path.write_text(json.dumps([bodies[i % len(bodies)] for i in range(SESSIONS)]))
    command = [sys.executable, "-m", "bench.bare", url, str(path), str(IN_FLIGHT)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


_MESSAGES = [
    {"role": role, "content": text}
    for _ in range(4)
    for role, text in (
        ("agent", "Thank you for calling, this is the billing line. How can I help you today?"),
        ("user", "Hi, yes, I was charged twice for March and I would like one of them back."),
        ("tool_call", '{"name": "list_charges", "arguments": {"account": "A-1093"}}'),
        ("agent", "I can see both charges. I have refunded the second one, it takes three days."),
    )
]
_SCHEMA = {
    "type": "object",
    "properties": {
        "topic": {"type": "string", "enum": ["billing", "technical", "sales", "other"]},
        "resolved": {"type": "boolean", "description": "Whether the matter was settled."},
        "amount": {"type": "number", "minimum": 0, "description": "The amount in question."},
        "notes": {"type": "string", "description": "What matters for the next call."},
    },
    "required": ["topic", "resolved"],
}

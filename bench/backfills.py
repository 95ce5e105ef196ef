"""What benchmarks of a running backfill share: the fake model, an agent with calls, and the run."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psutil

from bench.ground import DATA_DIR, until

MESSAGES = [
    {"role": role, "content": text}
    for _ in range(4)
    for role, text in (
        ("agent", "Thank you for calling, this is the billing line. How can I help you today?"),
        ("user", "Hi, yes, I was charged twice for March and I would like one of them back."),
        ("tool_call", '{"name": "list_charges", "arguments": {"account": "A-1093"}}'),
        ("agent", "I can see both charges. I have refunded the second one, it takes three days."),
    )
]
SCHEMA = {
    "type": "object",
    "properties": {
        "topic": {"type": "string", "enum": ["billing", "technical", "sales", "other"]},
        "resolved": {"type": "boolean", "description": "Whether the matter was settled."},
        "amount": {"type": "number", "minimum": 0, "description": "The amount in question."},
        "notes": {"type": "string", "description": "What matters for the next call."},
    },
    "required": ["topic", "resolved"],
}


@contextmanager
def fake_model(latency: float) -> Iterator[tuple[Any, Any]]:
    """A fake provider that takes ``latency`` seconds; yields it and its model."""
    from tests.factories import make_model
    from tests.fakes.fixtures import start

    fake = start(latency)
    try:
        yield fake, make_model(base_url=fake.url, api_key_env="FAKE_API_KEY")
    finally:
        fake.stop()


def agent_with_calls(model: Any, how_many: int) -> Any:
    """Return an agent with so many calls of 16 messages."""
    from tests.factories import make_agent, make_conversations

    agent = make_agent(model=model, schema=SCHEMA)
    for _ in range(0, how_many, 10_000):
        make_conversations(agent, min(how_many, 10_000), messages=MESSAGES)
    return agent


def start_backfill(agent: Any, how_many: int, **side_effects: Any) -> Any:
    """Save a backfill over so many calls of an agent."""
    from apps.accounts.actors import Actor
    from apps.analysis.effects import SideEffects
    from apps.runs.options import Options
    from apps.runs.services import start

    options = Options(
        sample_count=how_many, include_analyzed=True, side_effects=SideEffects(**side_effects)
    )
    by = Actor.system("bench")
    return start(channel="voice", params={"agent": [agent.public_id]}, options=options, by=by)


def done_items(run: Any, workers: Sequence[psutil.Process]) -> int:
    """Return how many items are done; wake the runners as the scheduler would."""
    from apps.runs.tasks import sweep

    if any(worker.status() == psutil.STATUS_ZOMBIE for worker in workers):
        sys.exit((DATA_DIR / "worker.log").read_text())
    sweep()
    run.refresh_from_db()
    return int(run.items.filter(state="done").count())


def rate_of(run: Any, workers: Sequence[psutil.Process], *, timeout: float = 300) -> float:
    """Wait for the end of a run. Return the items a second, from its start to its last item."""
    from django.db.models import Max

    until(lambda: done_items(run, workers) == run.total, timeout=timeout, every=0.25)
    last = run.items.aggregate(last=Max("finished_at"))["last"]
    return float(run.total / (last - run.started_at).total_seconds())

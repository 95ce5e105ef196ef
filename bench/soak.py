"""S10 of docs/benchmarks.md: whether memory, descriptors, and connections stay flat in a long run.

A backfill with a webhook for each result, a worker, and a web process whose API is asked for the
run all the time; compared when the first 5,000 items are done and at the end.
"""

import http.client
import json
import os
import time
from dataclasses import dataclass
from typing import Any

import psutil

from bench.backfills import agent_with_calls, done_items, fake_model, start_backfill
from bench.ground import DATA_DIR, services, workers
from bench.intake import PORT, web_process

ITEMS = int(os.environ.get("BENCH_ITEMS") or 100_000)
FIRST = min(5_000, ITEMS // 5)
IN_FLIGHT = 64


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of the worker with its children, and of the web process; connections of both."""

    worker_mib: float
    web_mib: float
    descriptors: float
    connections: float


def main() -> list[tuple[str, ...]]:
    """Return a row for each size."""
    os.environ["WEBHOOK_ALLOW_PRIVATE_ADDRESSES"] = "1"
    with services(), fake_model(0.0) as (_, model):
        from tests.fakes.receiver import Receiver

        receiver = Receiver()
        try:
            headers = _prepare(receiver)
            agent = agent_with_calls(model, ITEMS)
            with web_process() as web, workers(1, concurrency=IN_FLIGHT) as processes:
                first, last = _watch(agent, web, processes, headers)
            delivered = len({one.id for one in receiver.received})
        finally:
            receiver.close()
    rows: list[tuple[str, ...]] = []
    for name, unit in (
        ("worker_mib", "MiB"),
        ("web_mib", "MiB"),
        ("descriptors", ""),
        ("connections", ""),
    ):
        before, after = getattr(first, name), getattr(last, name)
        rows.append(
            (
                "S10",
                f"{name.removesuffix('_mib')} after {ITEMS:,} items, {delivered:,} webhooks",
                f"{after:.0f} {unit}".strip(),
                f"after {FIRST:,}: {before:.0f} {unit}".strip(),
                f"{after / before:.2f}",
                "",
                "≤ 1.05",
            )
        )
    return rows


def _prepare(receiver: Any) -> dict[str, str]:
    """Make the endpoint and a key; return the headers of a request."""
    from apps.accounts.actors import Actor
    from apps.accounts.keys import create_api_key
    from apps.accounts.models import Role
    from apps.webhooks.models import EventType
    from tests.webhooks.deliveries import endpoint_to

    endpoint_to(receiver.url, EventType.CONVERSATION_ANALYZED)
    _, key = create_api_key(name="bench", role=Role.VIEWER, by=Actor.system("bench"))
    return {"Authorization": f"Bearer {key}"}


def _watch(
    agent: Any, web: psutil.Process, processes: list[psutil.Process], headers: dict[str, str]
) -> tuple[Sizes, Sizes]:
    """Run the backfill; return the sizes early and in the end."""
    run = start_backfill(agent, ITEMS, webhooks="all")
    first = None
    deadline = time.monotonic() + 3_600
    while (done := done_items(run, processes)) < ITEMS:
        assert time.monotonic() < deadline, f"{done:,} of {ITEMS:,} after an hour"
        _ask(f"/api/backfills/{run.public_id}", headers)
        if first is None and done >= FIRST:
            first = _sizes(processes[0], web)
        time.sleep(0.5)
    assert first is not None
    return first, _sizes(processes[0], web)


def _ask(path: str, headers: dict[str, str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    assert response.status == 200, (DATA_DIR / "web.log").read_text()[-2_000:]
    json.load(response)
    connection.close()


def _sizes(worker: psutil.Process, web: psutil.Process) -> Sizes:
    from django.db import connection

    both = [[one, *one.children(recursive=True)] for one in (worker, web)]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        connections = cursor.fetchone()[0]
    memory = [sum(one.memory_info().rss for one in group) / 2**20 for group in both]
    descriptors = sum(one.num_fds() for group in both for one in group)
    return Sizes(memory[0], memory[1], descriptors, connections)

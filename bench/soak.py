"""S10 of docs/benchmarks.md: whether memory, descriptors, and connections stay flat in a long run.

A backfill of 100,000 with a webhook for each result, to an endpoint that takes each one; a worker,
a scheduler, and a web process whose API and pages are read all the time. The highest of each from
the 5,000th that is done and delivered to the 10,000th is compared with the highest after it. A line
every ten seconds shows the progress.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psutil
import requests
from aiohttp import web

from bench.backfills import agent_with_calls, fake_model, start_backfill
from bench.ground import DATA_DIR, running, services, workers
from bench.intake import PORT, web_process
from tests.fakes.server_thread import ServerThread

ITEMS = int(os.environ.get("BENCH_ITEMS") or 100_000)
FIRST = min(5_000, ITEMS // 5)
IN_FLIGHT = 64
SAMPLE_SECONDS, PROGRESS_SECONDS = 2.0, 10.0
Sizes = dict[str, float]
"""What the processes hold, by name; of each with its children."""
PATHS = ("/api/backfills/{run}", "/api/conversations?limit=20", "/calls/", "/backfills/{run}/")


class Endpoint(ServerThread):
    """A webhook endpoint that takes everything and counts how often each ID came."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        super().__init__()

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        self.taken[request.headers["webhook-id"]] += 1
        return web.Response(status=204)


def main() -> list[tuple[str, ...]]:
    """Return a row for each size, and one for the whole."""
    os.environ["WEBHOOK_ALLOW_PRIVATE_ADDRESSES"] = "1"
    with services() as postgres, fake_model(0.0) as (_, model), _endpoint() as endpoint:
        from config import programs

        _say(f"storing {ITEMS:,} calls")
        agent, headers = agent_with_calls(model, ITEMS), _prepare(endpoint)
        with (
            web_process() as server,
            workers(1, concurrency=IN_FLIGHT) as (worker,),
            running(programs.scheduler()) as scheduler,
        ):
            soak = _Soak(agent, endpoint, headers, (worker, server, scheduler))
            early, later = soak.run()
            database = _database_megabytes(postgres)
    rows = [
        (
            "S10",
            f"{name}, at most, until {ITEMS:,} items",
            f"{later[name]:.0f}",
            f"from {FIRST:,} to {2 * FIRST:,}: {before:.0f}",
            f"{later[name] / max(before, 1):.2f}",
            "",
            "≤ 1.05",
        )
        for name, before in early.items()
    ]
    twice = sum(times - 1 for times in endpoint.taken.values())
    delivered = f"{len(endpoint.taken):,} webhooks, {twice} of them twice"
    rows.append(("S10", "database memory, MiB", f"{database:.0f}", "", "", "", ""))
    return [*rows, ("S10", delivered, f"{soak.rate:.0f} items/s", "", "", "", "")]


@contextmanager
def _endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    try:
        yield endpoint
    finally:
        endpoint.close()


def _prepare(endpoint: Endpoint) -> dict[str, str]:
    """Make the endpoint, a key, and a session; return the headers of a request."""
    from apps.accounts.actors import Actor
    from apps.accounts.keys import create_api_key
    from apps.accounts.models import Role
    from apps.webhooks.models import EventType
    from tests.faults.web import cookie_of
    from tests.webhooks.deliveries import endpoint_to

    endpoint_to(f"{endpoint.url}/hook", EventType.CONVERSATION_ANALYZED)
    _, key = create_api_key(name="bench", role=Role.VIEWER, by=Actor.system("bench"))
    return {"Authorization": f"Bearer {key}", "Cookie": cookie_of(Role.VIEWER)}


class _Soak:
    """One run, and what is seen of its processes on the way."""

    def __init__(
        self,
        agent: Any,
        endpoint: Endpoint,
        headers: Mapping[str, str],
        processes: tuple[psutil.Process, psutil.Process, psutil.Process],
    ) -> None:
        self.endpoint = endpoint
        self.processes = processes
        self.backfill = start_backfill(agent, ITEMS, webhooks="all")
        self.client = requests.Session()
        self.client.headers.update(headers)
        self.rate = 0.0

    def run(self) -> tuple[Sizes, Sizes]:
        """Wait for the end; return the highest sizes early, and later."""
        early: Sizes = {}
        later: Sizes = {}
        began = shown = time.monotonic()
        while (done := min(self._done(), len(self.endpoint.taken))) < ITEMS:
            now = time.monotonic()
            assert now < began + 3_600, f"{done:,} of {ITEMS:,} done and delivered after an hour"
            self._read_pages()
            sizes = self._sizes() if done >= FIRST else {}
            highest = early if done < 2 * FIRST else later
            highest |= {name: max(size, highest.get(name, 0.0)) for name, size in sizes.items()}
            if now >= shown + PROGRESS_SECONDS:
                shown = now
                self._show(done / (now - began), sizes)
            time.sleep(SAMPLE_SECONDS)
        self.rate = ITEMS / (time.monotonic() - began)
        return early, later

    def _show(self, rate: float, sizes: Sizes) -> None:
        done, delivered = self._done(), len(self.endpoint.taken)
        seen = ", ".join(f"{name} {size:.0f}" for name, size in sizes.items())
        _say(f"{done:,} of {ITEMS:,} done, {delivered:,} delivered, {rate:.0f}/s. {seen}")

    def _done(self) -> int:
        """Return how many items are done."""
        from apps.runs.progress import progress_of

        if any(one.status() == psutil.STATUS_ZOMBIE for one in self.processes):
            sys.exit("\n".join(log.read_text() for log in DATA_DIR.glob("*.log")))
        self.backfill.refresh_from_db()
        return progress_of(self.backfill).finished

    def _read_pages(self) -> None:
        for path in PATHS:
            address = f"http://127.0.0.1:{PORT}{path.format(run=self.backfill.public_id)}"
            response = self.client.get(address, timeout=30)
            assert response.status_code == 200, (address, response.text[:500])

    def _sizes(self) -> Sizes:
        worker, server, scheduler = self.processes
        connections = _connections()
        return {
            "worker memory, MiB": _megabytes(worker),
            "web memory, MiB": _megabytes(server),
            "scheduler memory, MiB": _megabytes(scheduler),
            "worker descriptors": _descriptors(worker),
            "web descriptors": _descriptors(server),
            "worker connections": connections["worker"],
            "web connections": connections["web"],
        }


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _megabytes(process: psutil.Process) -> float:
    return float(sum(one.memory_info().rss for one in _family(process)) / 2**20)


def _database_megabytes(postgres: psutil.Process) -> float:
    """Return what PostgreSQL's processes hold; what they share is counted once."""
    return float(sum(one.memory_full_info().pss for one in _family(postgres)) / 2**20)


def _descriptors(process: psutil.Process) -> float:
    return sum(one.num_fds() for one in _family(process))


def _connections() -> Counter[str]:
    """Return how many connections to the database each program has."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT application_name, count(*) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' GROUP BY 1"
        )
        return Counter(dict(cursor.fetchall()))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

"""S6 of docs/benchmarks.md: how fast conversations come in over HTTP, against COPY of the rows.

Bulk upload, single POSTs, and signed webhooks of a platform, 15 messages each, at the web server
as `manage.py up` runs it: one process. Everything is stored as in real use, search words and the
queued first analysis included.
"""

import http.client
import io
import json
import random
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil

from bench.ground import cpu_seconds, running, services, until

BULK = 5_000
SINGLE = 1_500
CALLERS = 4
ROUNDS = 3
PORT = 18_765
MESSAGES = 15

Post = tuple[str, bytes, dict[str, str]]
"""The path, body, and headers of a request."""

#: What one conversation becomes: its table and the column that names it, parents first.
TABLES = (
    ("conversations_conversation", "id"),
    ("conversations_attributes", "conversation_id"),
    ("conversations_transcript", "conversation_id"),
    ("conversations_searchtext", "conversation_id"),
    ("analysis_analysis", "conversation_id"),
)


@dataclass(frozen=True, slots=True)
class Round:
    """One round: conversations a second, and CPU milliseconds a conversation, web and database."""

    bulk: float
    copied: float
    single: float
    cpu_bulk: float
    cpu_single: float
    signed: float
    cpu_signed: float


def main() -> list[tuple[str, ...]]:
    """Run both and answer the rows of the results table."""
    with services() as postgres:
        headers, agent_id, path = _prepare()
        with web_process() as web:
            _bulk(headers, _lines(agent_id, "warm", 200))
            found = [_round(n, headers, agent_id, path, (web, postgres)) for n in range(ROUNDS)]
    of = {name: statistics.median(getattr(r, name) for r in found) for name in Round.__slots__}
    ratio = statistics.median(r.bulk / r.copied for r in found)
    each = "ms CPU a conversation, web and database together"
    return [
        (
            "S6",
            f"bulk upload, {MESSAGES} messages each",
            f"{of['bulk']:.0f}/s",
            f"COPY of the same rows {of['copied']:.0f}/s",
            f"{ratio:.2f} of COPY",
            f"{of['cpu_bulk']:.2f} {each}",
            "≥ 1,000/s",
        ),
        (
            "S6",
            f"single POST, {MESSAGES} messages each, {CALLERS} callers",
            f"{of['single']:.0f}/s",
            "—",
            "—",
            f"{of['cpu_single']:.2f} {each}",
            "≥ 120/s per web process, ≤ 9 ms",
        ),
        (
            "S6",
            f"signed webhook, {MESSAGES} messages each, {CALLERS} callers",
            f"{of['signed']:.0f}/s",
            "—",
            "—",
            f"{of['cpu_signed']:.2f} {each}",
            "≥ 120/s per web process, ≤ 9 ms",
        ),
    ]


def _prepare() -> tuple[dict[str, str], str, str]:
    """Return the headers of a key, the agent of all conversations, and the path of its source."""
    from apps.accounts.actors import Actor
    from apps.accounts.keys import create_api_key
    from apps.accounts.models import Role
    from apps.platforms.sources import map_agent, webhook_path
    from tests.factories import make_agent
    from tests.platforms.mappings.signing import BY, source_of

    _, key = create_api_key(name="bench", role=Role.OPERATOR, by=Actor.system("bench"))
    agent, source = make_agent(), source_of("retell", platform_analysis="ours")
    map_agent(source=source, external_id="agent_bench", agent=agent, by=BY)
    return {"Authorization": f"Bearer {key}"}, agent.public_id, webhook_path(source)


def _round(
    number: int,
    headers: dict[str, str],
    agent_id: str,
    path: str,
    measured: tuple[psutil.Process, psutil.Process],
) -> Round:
    from tests.platforms.mappings.signing import signed

    lines = _lines(agent_id, f"bulk-{number}", BULK)
    started = _spent(*measured)
    bulk = BULK / _bulk(headers, lines)
    cpu_bulk = (_spent(*measured) - started) / BULK * 1000
    copied = BULK / _copy(f"bulk-{number}-")
    lines = _lines(agent_id, f"single-{number}", SINGLE)
    started = _spent(*measured)
    posts = [("/api/conversations", line, headers) for line in lines]
    single = SINGLE / _single(posts, 201)
    cpu_single = (_spent(*measured) - started) / SINGLE * 1000
    posts = [(path, body, signed("retell", body)) for body in _payloads(f"signed-{number}", SINGLE)]
    started = _spent(*measured)
    by_platform = SINGLE / _single(posts, 200)
    cpu_signed = (_spent(*measured) - started) / SINGLE * 1000
    return Round(bulk, copied, single, cpu_bulk, cpu_single, by_platform, cpu_signed)


def _spent(*processes: psutil.Process) -> float:
    return sum(cpu_seconds(process) for process in processes)


@contextmanager
def web_process() -> Iterator[psutil.Process]:
    """The web process, as `manage.py up` starts it, without a limit of requests."""
    from config import programs

    program = programs.web(bind="127.0.0.1", port=PORT)
    with running(program, API_RATE_LIMITS="intake=0,bulk=0") as process:
        until(_answers, timeout=60)
        yield process


def _answers() -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False


def _bulk(headers: dict[str, str], lines: list[bytes]) -> float:
    """Seconds for one request with all of them."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=600)
    body = b"\n".join(lines)
    begun = time.monotonic()
    connection.request(
        "POST",
        "/api/conversations/bulk",
        body,
        {**headers, "Content-Type": "application/x-ndjson"},
    )
    answer = json.load(connection.getresponse())
    seconds = time.monotonic() - begun
    assert answer["accepted"] == len(lines), answer
    return seconds


def _single(posts: list[Post], wanted: int) -> float:
    """Seconds for these requests, by several callers at once who keep their connections."""
    waiting = iter(posts)
    lock = threading.Lock()
    failed: list[object] = []

    def call() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
        while True:
            with lock:
                post = next(waiting, None)
            if post is None:
                return
            path, sent, headers = post
            connection.request("POST", path, sent, {**headers, "Content-Type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != wanted:
                failed.append(body)

    threads = [threading.Thread(target=call) for _ in range(CALLERS)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed[0]
    return time.monotonic() - begun


def _payloads(name: str, how_many: int) -> list[bytes]:
    """Return the same calls as a platform reports their end."""
    found = []
    for n, line in enumerate(_lines("", name, how_many)):
        call = json.loads(line)
        words = [
            {"role": message["role"], "content": message["content"]} for message in call["messages"]
        ]
        begun = 1_735_725_600_000 + n * 60_000
        found.append(
            json.dumps(
                {
                    "event": "call_analyzed",
                    "call": {
                        "call_id": call["external_id"],
                        "agent_id": "agent_bench",
                        "call_type": "phone_call",
                        "call_status": "ended",
                        "direction": "inbound",
                        "from_number": call["from_number"],
                        "start_timestamp": begun,
                        "end_timestamp": begun + call["duration_ms"],
                        "metadata": call["metadata"],
                        "transcript_object": words,
                    },
                }
            ).encode()
        )
    return found


def _copy(prefix: str) -> float:
    """Take the rows of these conversations out, and time how PostgreSQL takes them in again."""
    from django.db import connection, transaction

    mine = f"SELECT id FROM conversations_conversation WHERE external_id LIKE '{prefix}%'"
    with connection.cursor() as cursor:
        rows = {table: _taken(cursor, table, key, mine) for table, key in TABLES}
        cursor.execute(f"CREATE TEMP TABLE mine AS {mine}")
        with transaction.atomic():
            for table, key in reversed(TABLES):
                cursor.execute(f"DELETE FROM {table} WHERE {key} IN (SELECT id FROM mine)")
        cursor.execute("DROP TABLE mine")
        begun = time.monotonic()
        with transaction.atomic():
            for table, (columns, data) in rows.items():
                with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                    copy.write(data)
        return time.monotonic() - begun


def _taken(cursor: Any, table: str, key: str, mine: str) -> tuple[str, bytes]:
    """The rows of a table as COPY writes them, with the columns that are not generated."""
    cursor.execute(
        "SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns"
        " WHERE table_name = %s AND is_generated = 'NEVER'",
        [table],
    )
    columns = cursor.fetchone()[0]
    data = io.BytesIO()
    query = f"COPY (SELECT {columns} FROM {table} WHERE {key} IN ({mine})) TO STDOUT"
    with cursor.copy(query) as copy:
        for part in copy:
            data.write(part)
    return columns, data.getvalue()


def _lines(agent_id: str, name: str, how_many: int) -> list[bytes]:
    """Calls of 15 messages, each with words of its own."""
    chance = random.Random(name)
    return [
        json.dumps(
            {
                "agent_id": agent_id,
                "channel": "voice",
                "external_id": f"{name}-{n}",
                "started_at": f"2025-01-{n % 28 + 1:02}T10:{n % 60:02}:00Z",
                "duration_ms": 61_000 + n,
                "from_number": f"+1415555{n % 10_000:04}",
                "direction": "inbound",
                "metadata": {"plan": chance.choice(["gold", "silver"]), "order": n},
                "messages": [
                    {
                        "role": "user" if i % 2 else "agent",
                        "content": " ".join(chance.choices(_WORDS, k=16)),
                    }
                    for i in range(MESSAGES)
                ],
            }
        ).encode()
        for n in range(how_many)
    ]


_WORDS = (  # noqa: SIM905 (prose, not a list)
    "I was charged twice for March and would like one of them back please check the account "
    "number again thank you for calling billing line how can help today see both charges have "
    "refunded second takes three days is there anything else no that all goodbye internet down "
    "since this morning restarted router light red technician tomorrow between nine eleven "
    "contract cancel upgrade offer discount invoice payment card expired password reset email"
).split()

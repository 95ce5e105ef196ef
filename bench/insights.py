"""S7 of docs/benchmarks.md: insights over a million conversations of 90 days.

A few thousand conversations of four agents are made in Python and multiplied by SQL. The yardstick
of a tile is one plain statement that a person would write for the same figure.
"""

import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import median
from typing import Any

from bench.ground import services

ROWS, DAYS, SEEDS, ROUNDS = 1_000_000, 90, 4_000, 3
GOAL_PAINT, GOAL_TILE = 300, 700
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "topic": {
            "type": "string",
            "enum": ["billing", "technical", "cancellation", "sales", "delivery", "other"],
        },
        "resolved": {"type": "boolean"},
        "follow_up_needed": {"type": "boolean"},
        "priority": {"type": "string", "enum": ["low", "medium", "high"]},
        "overall_score": {"type": "integer", "minimum": 0, "maximum": 100},
        "amount": {"type": "number"},
        "compliance_issues": {"type": "array", "items": {"type": "string"}},
        "products": {"type": "array", "items": {"type": "string"}},
        "next_step": {"type": "string"},
    },
    "required": [],
}
_ISSUES = ["no greeting", "no consent", "wrong price", "rude", "no recap", "promise not allowed"]
_PRODUCTS = ["router", "mobile", "fiber", "tv", "roaming", "insurance", "tablet", "cloud"]


_PERIOD = "FROM conversations_conversation WHERE channel = 'voice' AND sort_at >= %s"
_PLAIN = {
    "boolean": "SELECT date_trunc('week', sort_at), count(*) FILTER (WHERE {value} = 'true'),"
    f" count({{value}}) {_PERIOD} GROUP BY 1",
    "choice": f"SELECT date_trunc('week', sort_at), {{value}}, count(*) {_PERIOD} GROUP BY 1, 2",
    "text": f"SELECT date_trunc('week', sort_at), {{value}}, count(*) {_PERIOD} GROUP BY 1, 2",
    "number": "SELECT date_trunc('week', sort_at), avg(({value})::float8), count({value})"
    f" {_PERIOD} GROUP BY 1",
    "list": "SELECT date_trunc('week', sort_at), e, count(*) FROM conversations_conversation c"
    " CROSS JOIN LATERAL jsonb_array_elements_text({value}) AS e"
    " WHERE channel = 'voice' AND sort_at >= %s GROUP BY 1, 2",
}
_VOLUME = (
    "SELECT date_trunc('week', sort_at), analysis_state, count(*), sum(analysis_cost)"
    f" {_PERIOD} GROUP BY 1, 2"
)


def main(rows: int = ROWS) -> list[tuple[str, ...]]:
    """Return the rows of the first paint, of each tile, and of a whole page."""
    with services():
        make_data(rows)
        return measure()


def measure() -> list[tuple[str, ...]]:
    """Measure over the data that is there, ours and the plain statement in turn."""
    from django.http import QueryDict
    from django.utils import timezone

    from apps.insights.scope import read_scope

    scope = read_scope(QueryDict(f"days={DAYS}"), now=timezone.now(), channel="voice")
    found = [_paint()]
    worst: list[float] = []
    for field in [None, *scope.fields.values()]:
        ours, plain = [], []
        for _ in range(ROUNDS):
            plain.append(_seconds(lambda field=field: _plain(scope, field)))
            ours.append(_seconds(lambda field=field: _tile(scope, field)))
        worst.append(median(ours))
        name = f"tile of {field.name} ({field.type})" if field else "tile of the volume"
        found.append(_row(name, median(ours), median(plain)))
    found.append(_row("every tile of the page, six at a time", _page(scope), sum(worst), goal=""))
    return found


def _paint() -> tuple[str, ...]:
    from django.test import Client

    from apps.accounts.models import Role, User

    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.create_user("bench", role=Role.VIEWER))
    paint = [_seconds(lambda: client.get(f"/insights/?days={DAYS}")) for _ in range(ROUNDS + 1)]
    return _row("first paint", median(paint[1:]), None, goal=f"≤ {GOAL_PAINT} ms")


def _tile(scope: Any, field: Any) -> None:
    from django.core.cache import cache

    from apps.insights.stats import stats_of
    from apps.insights.volume import volume_of

    cache.clear()
    _ = volume_of(scope) if field is None else stats_of(scope, field)


def _plain(scope: Any, field: Any) -> None:
    from django.db import connection

    statement = _VOLUME
    if field is not None:
        arrow = "->" if field.type == "list" else "->>"
        value = field.path if field.is_column else f"analysis_data {arrow} '{field.path}'"
        value = f"{value}::text" if field.type == "boolean" else value
        statement = _PLAIN[field.type].format(value=value)
    with connection.cursor() as cursor:
        cursor.execute(statement, [scope.period.start])
        cursor.fetchall()


def _page(scope: Any) -> float:
    """Return the seconds until the last tile is there, asked for as a browser does."""
    from django.core.cache import cache
    from django.db import connections

    from apps.insights.stats import stats_of
    from apps.insights.volume import volume_of

    def tile(field: Any) -> None:
        _ = volume_of(scope) if field is None else stats_of(scope, field)
        connections.close_all()

    cache.clear()
    fields = [None, *scope.fields.values()]
    with ThreadPoolExecutor(6) as pool:
        return _seconds(lambda: list(pool.map(tile, fields)))


def _seconds(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _row(
    work: str, ours: float, plain: float | None, goal: str = f"≤ {GOAL_TILE} ms"
) -> tuple[str, ...]:
    bare = "" if plain is None else f"{plain * 1000:,.0f} ms"
    ratio = "" if plain is None else f"{ours / plain:.2f}"
    return "S7", work, f"{ours * 1000:,.0f} ms", bare, ratio, "", goal


def make_data(rows: int = ROWS, *, days: int = DAYS, until: datetime | None = None) -> None:
    """Store so many conversations of the last days, with results."""
    from django.db import connection

    from apps.conversations.models import Conversation
    from tests.factories import make_agent

    until = until or datetime.now(UTC)
    agents = [make_agent(name=f"Line {n}", schema=SCHEMA) for n in range(4)]
    versions = [agent.versions.get() for agent in agents]
    rng = random.Random(7)
    seeds = min(rows, SEEDS)
    Conversation.objects.bulk_create(
        [_seed(rng, rng.choice(versions), n, until, days) for n in range(seeds)], batch_size=1000
    )
    columns = [str(f.column) for f in Conversation._meta.concrete_fields if f.column != "id"]
    changed = {
        "public_id": "'conv_' || md5(c.id::text || ':' || k)",
        "external_id": "'x-' || c.id || '-' || k",
        "sort_at": "t.at",
        "started_at": "t.at",
        "ended_at": "t.at + c.duration_ms * interval '1 ms'",
        "analyzed_at": "CASE WHEN c.analyzed_at IS NOT NULL THEN t.at + interval '3 minutes' END",
        "duration_ms": "c.duration_ms + (random() * 9999)::int",
    }
    names = ", ".join(columns)
    values = ", ".join(changed.get(name, f"c.{name}") for name in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO conversations_conversation ({names}) SELECT {values}"
            " FROM generate_series(1, %s) AS k CROSS JOIN conversations_conversation c"
            " CROSS JOIN LATERAL (SELECT %s - random() * %s * interval '1 day' + c.id * interval"
            " '0 s' AS at) AS t ORDER BY t.at LIMIT %s",
            [-(-rows // seeds), until, days, rows - seeds],
        )
        cursor.execute("VACUUM ANALYZE conversations_conversation")


def _seed(rng: random.Random, version: Any, n: int, until: datetime, days: int) -> Any:
    from apps.conversations.models import AnalysisState, Conversation

    at = until - timedelta(days=rng.random() * days)
    values: dict[str, Any] = {
        "agent": version.agent,
        "agent_version": version,
        "channel": "voice",
        "route": str(version.agent_id),
        "external_id": f"seed-{n}",
        "sort_at": at,
        "started_at": at,
        "message_count": rng.randint(2, 60),
        "has_speech": True,
        "duration_ms": int(rng.lognormvariate(11.5, 0.8)),
        "language": "en",
        "direction": rng.choice(["inbound", "outbound"]),
        "from_number": "+15550100200",
        "disconnection_reason": rng.choice(["user_hangup", "agent_hangup", "call_transfer"]),
    }
    roll = rng.random()
    if roll < 0.03:
        code = rng.choice(["timeout", "invalid_output", "length"])
        state = {"analysis_state": AnalysisState.FAILED, "analysis_reason": code}
    elif roll < 0.1:
        code = rng.choice(["no_speech", "sampled_out", "too_short"])
        state = {"analysis_state": AnalysisState.SKIPPED, "analysis_reason": code}
    else:
        state = _result(rng, version, at)
    return Conversation(**values, **state)


def _result(rng: random.Random, version: Any, at: datetime) -> dict[str, Any]:
    summary = "The caller asked about an invoice that was charged twice in March. " * 4
    successful = rng.random() < 0.78
    sentiment = rng.choice(["Positive", "Neutral", "Neutral", "Negative", "Unknown"])
    data = {
        "call_summary": summary,
        "call_successful": successful,
        "user_sentiment": sentiment,
        "topic": rng.choice(SCHEMA["properties"]["topic"]["enum"]),
        "resolved": rng.random() < 0.7,
        "priority": rng.choice(["low", "medium", "high"]),
        "overall_score": min(100, int(rng.gauss(76, 14))),
        "next_step": rng.choice(["call back", "send invoice", "open a ticket", "nothing"]),
    }
    if rng.random() < 0.6:
        data["follow_up_needed"] = rng.random() < 0.2
    if rng.random() < 0.4:
        data["amount"] = round(rng.lognormvariate(4, 1), 2)
    if rng.random() < 0.25:
        data["compliance_issues"] = rng.sample(_ISSUES, rng.randint(1, 3))
    if rng.random() < 0.7:
        data["products"] = rng.sample(_PRODUCTS, rng.randint(1, 4))
    return {
        "analysis_state": "succeeded",
        "summary": summary,
        "successful": successful,
        "sentiment": sentiment,
        "analysis_data": data,
        "analysis_config_id": version.config_id,
        "outcome": "",
        "analysis_trigger": "initial",
        "analysis_model": "gpt-4.1-mini",
        "analysis_cost": Decimal("0.0021"),
        "analyzed_at": at + timedelta(minutes=3),
    }


if __name__ == "__main__":
    for line in main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS):
        print(" | ".join(line))

"""S7 of docs/benchmarks.md: insights over a million conversations of 90 days.

A few thousand conversations of four agents are made in Python and multiplied by SQL. The yardstick
of a tile is one plain statement that a person would write for the same figure.
"""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

ROWS, DAYS, SEEDS = 1_000_000, 90, 4_000
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

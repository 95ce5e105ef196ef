"""Conversations with every kind of result, straight into their table."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from django.db import connection
from django.http import QueryDict

from apps.agents.models import Agent, AgentVersion, AnalysisConfig
from apps.agents.templates import QUALITY_ASSURANCE, SUPPORT_SHORT
from apps.agents.templates import SALES as SALES_QUALIFICATION
from apps.conversations import filters
from apps.conversations.models import Conversation
from apps.insights.scope import Scope, read_scope
from tests.factories import make_agent

NOW = datetime(2025, 6, 30, 12, tzinfo=UTC)
TOPICS = ("billing", "technical", "sales", "other")
SUPPORT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "resolved": {"type": "boolean"},
        "topic": {"type": "string", "enum": [*TOPICS, "unused"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "overall_score": {"type": "integer"},
        "amount": {"type": "number"},
        "next_step": {"type": "string"},
    },
    "required": [],
}
SALES: dict[str, Any] = {
    "type": "object",
    "properties": {"topic": {"type": "string", "enum": list(TOPICS)}, "hot": {"type": "boolean"}},
    "required": [],
}
_REASONS = ("no_speech", "sampled_out", "too_short", "")
_ODD: tuple[Any, ...] = (None, "", [], {}, {"a": 1}, "true", 7)
"""Values that are empty or of another type, as imported results have them."""


def make_generated(how_many: int, *, days: int = 60, seed: int = 1) -> tuple[Agent, Agent]:
    """Store conversations of the days before `NOW`, of a support and of a sales agent."""
    rng = random.Random(seed)
    support = make_agent(name="Support", schema=SUPPORT)
    sales = make_agent(name="Sales", schema=SALES)
    versions = [support.versions.get(), sales.versions.get()]
    Conversation.objects.bulk_create(
        (_conversation(rng, rng.choices(versions, [3, 1])[0], n, days) for n in range(how_many)),
        batch_size=2000,
    )
    _analyze()
    return support, sales


def make_use_cases(how_many: int, *, days: int = 180, seed: int = 2) -> None:
    """Store conversations with the fields of the templates of the three ready views."""
    rng = random.Random(seed)
    templates = (SUPPORT_SHORT, SALES_QUALIFICATION, QUALITY_ASSURANCE)
    versions = [make_agent(schema=one.schema()).versions.get() for one in templates]
    Conversation.objects.bulk_create(
        (_conversation(rng, rng.choice(versions), n, days) for n in range(how_many)),
        batch_size=2000,
    )
    _analyze()


def _analyze() -> None:
    """Let the planner know the rows, as the server does a minute after they were stored."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE conversations_conversation")


def _conversation(rng: random.Random, version: AgentVersion, n: int, days: int) -> Conversation:
    at = NOW - timedelta(seconds=rng.randrange(days * 86_400))
    common: dict[str, Any] = {
        "agent": version.agent,
        "agent_version": version,
        "channel": "voice",
        "route": str(version.agent_id),
        "external_id": f"g-{n}",
        "started_at": at if rng.random() < 0.9 else None,
        "sort_at": at,
        "duration_ms": rng.choice([None, rng.randrange(600_000)]),
        "message_count": rng.randrange(1, 40),
        "disconnection_reason": rng.choice(["user_hangup", "agent_hangup", ""]),
    }
    roll = rng.random()
    if roll < 0.1:
        code = rng.choice(["timeout", "length"])
        return Conversation(**common, analysis_state="failed", analysis_reason=code)
    if roll < 0.15:
        status = rng.choice(["ended", "ongoing"])
        reason = "not_ended" if status == "ongoing" else rng.choice(_REASONS)
        return Conversation(**common, status=status, analysis_state="none", analysis_reason=reason)
    if roll < 0.2:
        return Conversation(**common, analysis_state="skipped", analysis_reason="no_speech")
    if roll < 0.22:
        return Conversation(**common, analysis_state=rng.choice(["pending", "running"]))
    return Conversation(**common, **_result(rng, version, at))


def _result(rng: random.Random, version: AgentVersion, at: datetime) -> dict[str, Any]:
    data: dict[str, Any] = {
        name: _value(rng, name, schema)
        for name, schema in _properties(version.config_id).items()
        if rng.random() < 0.9
    }
    data["call_summary"] = "They called."
    successful = data.get("call_successful")
    sentiment = rng.choice(["Positive", "positive", "Neutral", "Negative", ""])
    return {
        "analysis_state": "succeeded",
        "summary": "They called.",
        "successful": successful if isinstance(successful, bool) else None,
        "sentiment": sentiment,
        "analysis_data": data,
        "analysis_config_id": version.config_id if rng.random() < 0.95 else None,
        "analysis_trigger": "initial",
        "analysis_model": rng.choice(["gpt-a", "gpt-b"]),
        "analysis_cost": rng.choice([None, Decimal("0.002"), Decimal("0.0013")]),
        "analyzed_at": at + timedelta(hours=rng.randrange(48)),
    }


@cache
def _properties(config_id: int) -> dict[str, Any]:
    """Return the fields of a config with their schemas, parsed once for thousands of results."""
    properties: dict[str, Any] = (
        AnalysisConfig.objects.get(pk=config_id).parsed().answer_schema()["properties"]
    )
    return properties


def _value(rng: random.Random, name: str, schema: dict[str, Any]) -> Any:
    if rng.random() < 0.1:
        return rng.choice(_ODD)
    if name in _MAKERS:
        return _MAKERS[name](rng)
    if "enum" in schema:
        return rng.choice(schema["enum"])
    return _TYPES[schema["type"]](rng)


_TEXTS = [f"text {n}" for n in range(80)]
_TYPES: dict[str, Callable[[random.Random], Any]] = {
    "boolean": lambda rng: rng.random() < 0.7,
    "integer": lambda rng: rng.randint(0, 100),
    "array": lambda rng: rng.sample(["a", "b", "c, d", "e"], k=rng.randint(0, 3)),
    "string": lambda rng: _TEXTS[min(int(rng.expovariate(0.05)), 79)],
}
_MAKERS: dict[str, Callable[[random.Random], Any]] = {
    "call_summary": lambda rng: "They called.",
    "call_successful": lambda rng: rng.random() < 0.8,
    "user_sentiment": lambda rng: rng.choice(["Positive", "Neutral"]),
    "resolved": lambda rng: rng.random() < 0.6,
    "hot": lambda rng: rng.random() < 0.2,
    "topic": lambda rng: rng.choice(TOPICS),
    "tags": lambda rng: rng.choices(["vip", "angry", "new", "a, b"], k=rng.randint(1, 4)),
    "overall_score": lambda rng: rng.randint(0, 100),
    "amount": lambda rng: round(rng.lognormvariate(3, 1), 2),
    "next_step": lambda rng: rng.choice(["call back", "send an invoice", "nothing"]),
}


def scope_of(query: str = "", **options: Any) -> Scope:
    """Return the scope of an address; calls at `NOW` where nothing else is named."""
    now = options.get("now", NOW)
    return read_scope(QueryDict(query), now=now, channel=options.get("channel", "voice"))


def opened_by(url: str) -> int:
    """Return how many conversations the list behind a link has."""
    path, _, query = url.partition("?")
    channel = {"/calls/": "voice", "/chats/": "chat"}[path]
    return filters.matching(channel=channel, params=QueryDict(query)).count()

"""Rules, conversations with results, and the workers of alerts at a test's own time."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from apps.accounts.actors import Actor
from apps.accounts.models import Role
from apps.agents.models import Agent
from apps.alerts import services
from apps.alerts.checks import results_recorded
from apps.alerts.definitions import Definition
from apps.alerts.messages import MessageQueue
from apps.alerts.models import AlertRule, Incident
from apps.conversations.models import Conversation
from apps.conversations.results import write_result_columns
from apps.core.guarded_client import GuardedClient
from apps.work.runner import Runner
from tests.factories import make_agent, make_conversations
from tests.webhooks.deliveries import InPlace

EVE = Actor("Eve", Role.EDITOR)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

SCHEMA = {
    "type": "object",
    "properties": {
        "overall_score": {"type": "integer"},
        "compliance_issues": {"type": "array", "items": {"type": "string"}},
        "resolved": {"type": "boolean"},
    },
}
BAD_CALL = {
    "any": [
        {"field": "overall_score", "op": "lt", "value": 70},
        {"field": "compliance_issues", "op": "isset", "value": True},
    ]
}


def quality_agent(name: str = "") -> Agent:
    """Return an agent with the fields of the rules of these tests."""
    return make_agent(name=name, schema=SCHEMA)


def definition(**values: Any) -> Definition:
    """Return a rate below 80%, recovering at 85%, of at least 20 calls in an hour."""
    defaults: dict[str, Any] = {
        "name": "Resolved",
        "kind": "rate",
        "channel": "voice",
        "field": "resolved",
        "field_value": True,
        "direction": "below",
        "threshold": 0.8,
        "recovery": 0.85,
        "window_hours": 1,
    }
    return Definition(**defaults | values)


def ensure_fields() -> None:
    """Let some agent have the fields of the rules."""
    if not Agent.objects.exists():
        quality_agent("Quality line")


def rate_rule(**values: Any) -> AlertRule:
    ensure_fields()
    return services.create_rule(wanted=definition(**values), by=EVE)


def result_rule(**values: Any) -> AlertRule:
    """Return a rule of single results: a low score, or compliance issues."""
    defaults: dict[str, Any] = {
        "name": "Bad calls",
        "kind": "result",
        "channel": "voice",
        "condition": BAD_CALL,
    }
    ensure_fields()
    return services.create_rule(wanted=Definition(**defaults | values), by=EVE)


def calls(
    agent: Agent, at: datetime, values: Sequence[dict[str, Any]], trigger: str = "initial"
) -> list[Conversation]:
    """Return calls that started at this time, with these results."""
    made = make_conversations(agent, len(values), started_at=at, sort_at=at, ended_at=at)
    for call, value in zip(made, values, strict=True):
        write_result(call, value, at=at, trigger=trigger)
    return made


def write_result(
    call: Conversation, values: dict[str, Any], *, at: datetime, trigger: str = "initial"
) -> None:
    """Give a call another result, as the recording does, without an analysis."""
    write_result_columns(
        [
            {
                "id": call.pk,
                "summary": "",
                "outcome": "",
                "successful": None,
                "sentiment": "",
                "data": values,
                "config_id": None,
                "trigger": trigger,
                "model": "m",
                "cost": None,
                "analyzed_at": at,
                "messages": None,
            }
        ]
    )


def record(found: Sequence[Conversation], *, first: bool = True) -> None:
    """Note results for the rules, as the transaction that records them does."""
    ids = [call.pk for call in found]
    results_recorded(first=ids if first else [], again=[] if first else ids)


def send(clock: Callable[[], datetime]) -> int:
    """Send the messages that are due at this time; return how many."""
    pool = InPlace()

    async def run() -> int:
        client = GuardedClient()
        try:
            return await Runner(queue=MessageQueue(clock), pool=pool, idle=0.0).run(client)
        finally:
            pool.waiting.put(None)
            await client.aclose()

    with ThreadPoolExecutor(1) as threads:
        sent = threads.submit(asyncio.run, run())
        pool.work()
        return sent.result()


def open_incidents(rule: AlertRule) -> list[Incident]:
    return list(rule.incidents.open().order_by("pk"))

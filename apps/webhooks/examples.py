"""An example of each event, for *Send test*: complete, made up, and marked as a test."""

import json
from collections.abc import Callable
from typing import Any

from django.utils import timezone

from apps.core.payloads import moment

from .models import EventType

_CONVERSATION: dict[str, Any] = {
    "external_id": "example-1",
    "source": "api",
    "channel": "voice",
    "started_at": "2025-01-18T15:28:59Z",
    "duration_ms": 61000,
    "contact": {
        "phone_number": "+15550134",
        "email": None,
        "first_name": "Ada",
        "last_name": None,
    },
    "metadata": {"order": "A-1001"},
}
_ABOUT = {"conversation_id": "conv_example", "agent_id": "agt_example"}
_ANALYSIS = {
    "trigger": "initial",
    "analysis_id": "an_example",
    "agent_version": 3,
    "config": "sha256:" + "0" * 64,
}


def payload(kind: str) -> dict[str, Any]:
    """Return the body of an event of this type, with keys in the order of a real one."""
    now = moment(timezone.now())
    body = {"event": str(kind), **_BODIES[EventType(kind)](now)}
    return {**body, "test": True}


def text(kind: str) -> str:
    """Return the example of an event as a person reads it."""
    return json.dumps(payload(kind), indent=2, ensure_ascii=False)


def _analyzed(now: str | None) -> dict[str, Any]:
    return {
        **_ABOUT,
        "timestamp": now,
        "analysis": {
            "call_summary": "The caller was charged twice in March; one charge was refunded.",
            "call_successful": True,
            "user_sentiment": "Positive",
            "topic": "billing",
        },
        **_ANALYSIS,
        "changed": ["call_summary", "call_successful", "user_sentiment", "topic"],
        "missing_required": [],
        "conversation": _CONVERSATION,
    }


def _analysis_failed(now: str | None) -> dict[str, Any]:
    return {
        **_ABOUT,
        "timestamp": now,
        "error_code": "timeout",
        "error_message": "The model timed out after 60 seconds.",
        **_ANALYSIS,
        "conversation": _CONVERSATION,
    }


def _ended(now: str | None) -> dict[str, Any]:
    return {
        **_ABOUT,
        "timestamp": now,
        "agent_version": 3,
        "status": "ended",
        "ended_at": "2025-01-18T15:30:00Z",
        "disconnection_reason": "user_hangup",
        "message_count": 14,
        "conversation": _CONVERSATION,
    }


def _backfill(now: str | None) -> dict[str, Any]:
    counts = {"total": 1200, "done": 1190, "changed": 312, "unchanged": 878, "skipped": 4}
    return {
        "backfill_id": "bf_example",
        "timestamp": now,
        "state": "completed",
        "backfill": {
            "id": "bf_example",
            "channel": "voice",
            "state": "completed",
            "counts": counts | {"failed": 6, "running": 0, "pending": 0},
            "failures": {"timeout": 6},
            "usage": {"input_tokens": 1412000, "output_tokens": 98000, "cost": "0.72"},
        },
    }


def _alert(now: str | None) -> dict[str, Any]:
    return {
        "incident_id": "inc_example",
        "timestamp": now,
        "alert": {"id": "al_example", "name": "Success rate below 80%"},
        "agent_id": "agt_example",
        "state": "open",
        "cause": "breach",
        "resolution": None,
        "condition": "Share of Call successful is yes below 80% over 1d",
        "value": 0.72,
        "latest": 0.72,
        "conversations": {"counted": 50, "matched": 36},
        "opened_at": "2025-01-18T15:30:00Z",
        "resolved_at": None,
        "url": "https://debrief.example.com/alerts/incidents/inc_example/",
    }


def _alert_resolved(now: str | None) -> dict[str, Any]:
    changed = {"state": "resolved", "resolution": "recovered", "latest": 0.84}
    return {**_alert(now), **changed, "resolved_at": now}


def _follow_up(now: str | None) -> dict[str, Any]:
    return {
        **_ABOUT,
        "timestamp": now,
        "follow_up": {
            "id": "fu_example",
            "origin": "analysis",
            "reason": "Call back about the second charge.",
            "owner": None,
            "due_at": None,
            "note": "",
            "state": "open",
            "created_by": "Analysis",
        },
        "conversation": _CONVERSATION,
    }


def _budget(now: str | None) -> dict[str, Any]:
    return {
        "agent_id": None,
        "timestamp": now,
        "budget": {
            "period": "day",
            "limit": "50.0000",
            "spent": "40.120000000",
            "level": 80,
            "resets_at": "2025-01-19T00:00:00Z",
        },
        "url": "https://debrief.example.com/costs/budgets/",
    }


def _budget_reached(now: str | None) -> dict[str, Any]:
    body = _budget(now)
    return {**body, "budget": {**body["budget"], "spent": "50.003000000", "level": 100}}


_BODIES: dict[EventType, Callable[[str | None], dict[str, Any]]] = {
    EventType.CONVERSATION_ANALYZED: _analyzed,
    EventType.CONVERSATION_ANALYSIS_FAILED: _analysis_failed,
    EventType.CONVERSATION_ENDED: _ended,
    EventType.BACKFILL_COMPLETED: _backfill,
    EventType.ALERT_TRIGGERED: _alert,
    EventType.ALERT_RESOLVED: _alert_resolved,
    EventType.FOLLOW_UP_ADDED: _follow_up,
    EventType.BUDGET_WARNING: _budget,
    EventType.BUDGET_REACHED: _budget_reached,
}

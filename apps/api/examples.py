"""One example of each shape, as the OpenAPI document and the API page show them."""

from typing import Any

_CONVERSATION_ID = "conv_4uOs8NxX0dTq1nKpUrZ3aB"
_AGENT_ID = "agt_7cJkQ2mVfE5wYbR9tHs1Ld"
_ANALYSIS_ID = "an_6tYhN3bVgF5cDxS8zAqW1e"
_BACKFILL_ID = "bf_2pLmW8rXzT6vKq3nJd0Gya"
_CONFIG = "sha256:3f1d0c2b9a8e7f6d5c4b3a29180716f5e4d3c2b1a0918273645546372819fafb"

_EVENT_ID = "msg_8uJnM5kLp2oIhGfD4sRaZx"
_WEBHOOK = {
    "id": "wh_9sKd3fGh2jLq8wErTy5uIo",
    "url": "https://example.com/hooks/debrief",
    "events": ["conversation.analyzed", "conversation.analysis_failed"],
    "agent_id": None,
    "state": "enabled",
    "disabled_reason": None,
    "disabled_at": None,
    "failing_since": None,
    "created_by": "Ada Lovelace",
    "created_at": "2025-01-10T08:00:00Z",
}

_VALUES = {
    "call_summary": "The caller was charged twice for March; one charge was refunded.",
    "call_successful": True,
    "user_sentiment": "Neutral",
    "topic": "billing",
}
_CONTACT = {
    "phone_number": "+14155550123",
    "email": None,
    "first_name": "Ada",
    "last_name": None,
}
_MESSAGES = [
    {"role": "agent", "content": "Billing, how can I help?", "at": "2025-01-18T15:29:00Z"},
    {"role": "user", "content": "I was charged twice for March."},
    {"role": "agent", "content": "I have refunded one of the two."},
]
_ROW: dict[str, Any] = {
    "id": _CONVERSATION_ID,
    "external_id": "call-1093",
    "source": "api",
    "agent_id": _AGENT_ID,
    "agent_version": 3,
    "channel": "voice",
    "status": "ended",
    "language": "en",
    "started_at": "2025-01-18T15:29:00Z",
    "ended_at": "2025-01-18T15:30:01Z",
    "duration_ms": 61000,
    "direction": "inbound",
    "from_number": "+14155550123",
    "to_number": "+14155550100",
    "disconnection_reason": "user_hangup",
    "recording_url": None,
    "contact": _CONTACT,
    "message_count": 3,
    "analysis_state": "succeeded",
    "analysis_reason": None,
    "stale": False,
    "silent_since": None,
    "analysis": _VALUES,
}
_ANALYSIS: dict[str, Any] = {
    "analysis_id": _ANALYSIS_ID,
    "conversation_id": _CONVERSATION_ID,
    "agent_id": _AGENT_ID,
    "analysis": _VALUES,
    "status": "succeeded",
    "trigger": "initial",
    "agent_version": 3,
    "config": _CONFIG,
    "model": "gpt-4.1-mini",
    "usage": {
        "input_tokens": 1290,
        "cached_tokens": 1024,
        "output_tokens": 64,
        "estimated": False,
        "cost": "0.00034880",
    },
    "current": True,
    "missing_required": [],
    "truncated": False,
    "error": None,
    "requested_by": "system: first analysis",
    "created_at": "2025-01-18T15:30:02.118000+00:00",
    "finished_at": "2025-01-18T15:30:04.902000+00:00",
}
_DRAFT: dict[str, Any] = {
    "analysis": {
        "model": "gpt-4.1-mini",
        "instructions": "The caller is a customer of a telephone company.",
        "built_ins": {
            "call_summary": {"prompt": "Two sentences.", "enabled": True, "required": True},
            "call_successful": {
                "prompt": "Whether the caller got what they called for.",
                "enabled": True,
                "required": True,
            },
            "user_sentiment": {
                "prompt": "How the caller felt at the end.",
                "enabled": True,
                "required": False,
            },
        },
        "schema": {
            "type": "object",
            "properties": {"topic": {"type": "string", "enum": ["billing", "sales", "other"]}},
            "required": ["topic"],
        },
    },
    "post_analysis": {
        "enabled": True,
        "sample_percent": 100,
        "min_seconds": 0,
        "min_messages": 0,
        "chat_idle_seconds": 3600,
        "long_transcript": "refuse",
        "retention_days": None,
    },
    "columns": {
        "summary": "call_summary",
        "outcome": "call_successful",
        "sentiment": "user_sentiment",
    },
}
_AGENT: dict[str, Any] = {
    "id": _AGENT_ID,
    "name": "Billing line",
    "channel": "voice",
    "deactivated": False,
    "draft": {"version": 4, **_DRAFT},
    "latest_published": 3,
}
_ESTIMATE = {
    "input_tokens": 1656000,
    "output_tokens": 82000,
    "cost": "0.79360000",
    "cost_low": "0.67456000",
    "cost_high": "0.91264000",
    "seconds": 42.0,
}
_PREVIEW: dict[str, Any] = {
    "matching": 1302,
    "already_analyzed": 0,
    "not_analyzable": 18,
    "not_analyzable_reasons": {"no_speech": 18},
    "left_out": [],
    "to_analyze": 1284,
    "agents": [
        {
            "label": "Billing line V4 (draft)",
            "config": _CONFIG,
            "model": "gpt-4.1-mini",
            "to_analyze": 1284,
            "already_analyzed": 0,
        }
    ],
    "estimate": _ESTIMATE,
    "as_of": "2025-01-18T16:00:00+00:00",
    "token": "eyJub25jZSI6…",
}
_BACKFILL: dict[str, Any] = {
    "id": _BACKFILL_ID,
    "channel": "voice",
    "state": "running",
    "reason": "",
    "reason_detail": "",
    "next_attempt_at": None,
    "attempts": 0,
    "filters": {"agent": [_AGENT_ID], "started_at__gte": ["2025-01-01"]},
    "options": {"sample": None, "include_analyzed": False, "lane": "standard"},
    "counts": {
        "total": 1284,
        "done": 301,
        "changed": 97,
        "unchanged": 204,
        "skipped": 0,
        "failed": 2,
        "running": 32,
        "pending": 949,
    },
    "failures": {"timeout": 2},
    "estimate": _ESTIMATE,
    "usage": {"input_tokens": 391000, "output_tokens": 19300, "cost": "0.18728000"},
    "created_by": "API key nightly (dbk_a1B2c3D4)",
    "created_at": "2025-01-18T16:00:09Z",
    "started_at": "2025-01-18T16:00:09.412Z",
    "finished_at": None,
}


def _page(item: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"items": [item], "next_cursor": None, **more}


EXAMPLES: dict[str, dict[str, Any]] = {
    "ConversationIn": {
        "agent_id": _AGENT_ID,
        "channel": "voice",
        "external_id": "call-1093",
        "started_at": "2025-01-18T15:29:00Z",
        "duration_ms": 61000,
        "from_number": "+14155550123",
        "contact": {"phone_number": "+14155550123", "first_name": "Ada"},
        "metadata": {"plan": "gold"},
        "messages": _MESSAGES,
    },
    "Conversation": {
        **_ROW,
        "metadata": {"plan": "gold"},
        "dynamic_variables": {},
        "messages": _MESSAGES,
        "transfers": [],
    },
    "ConversationRow": _ROW,
    "Retried": {"queued": 12},
    "Conversations": _page(_ROW, stable_order=True),
    "AppendIn": {"after": 2, "messages": [{"role": "user", "content": "One more thing."}]},
    "CloseIn": {"disconnection_reason": "user_hangup"},
    "BulkReport": {
        "accepted": 998,
        "updated": 0,
        "unchanged": 0,
        "refused": 1,
        "errors": [
            {"line": 500, "code": "not_json", "message": "This is not JSON: Expecting value."}
        ],
    },
    "Analysis": _ANALYSIS,
    "Analyses": _page(_ANALYSIS),
    "RerunIn": {},
    "NothingIn": {},
    "AgentIn": {"name": "Billing line", "channel": "voice"},
    "Agent": _AGENT,
    "Agents": _page(_AGENT),
    "Templates": {
        "items": [
            {
                "key": "support_short",
                "title": "Support, short",
                "purpose": "Six fields for every support conversation.",
                "schema": _DRAFT["analysis"]["schema"],
                "instructions": "Judge each conversation from the outside.",
                "columns": {"summary": "summary", "outcome": "resolved"},
            }
        ]
    },
    "DraftIn": {
        "analysis": {
            "built_ins": {"call_summary": {"prompt": "In five words."}},
            "schema": _DRAFT["analysis"]["schema"],
        }
    },
    "PublishIn": {"title": "Topics", "note": "Asks what the call was about."},
    "Version": (
        _VERSION := {
            "version": 3,
            "published": True,
            "published_at": "2025-01-12T09:12:44.120Z",
            "published_by": "Grace Hopper",
            "title": "Topics",
            "note": "Asks what the call was about.",
            "config": _CONFIG,
            **_DRAFT,
        }
    ),
    "Versions": _page(_VERSION),
    "WebhookIn": {
        "url": "https://example.com/hooks/debrief",
        "events": ["conversation.analyzed", "conversation.analysis_failed"],
        "agent_id": None,
    },
    "NewWebhook": {**_WEBHOOK, "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"},
    "Webhooks": _page(_WEBHOOK),
    "TestIn": {"events": ["conversation.analyzed"]},
    "Sent": {"event_ids": [_EVENT_ID]},
    "Payload": {"event": "call_ended", "call": {"call_id": "call_7", "agent_id": "agent_2"}},
    "Received": {"state": "taken", "conversation_id": _CONVERSATION_ID, "note": ""},
    "Deliveries": _page(
        {
            "event_id": _EVENT_ID,
            "event": "conversation.analyzed",
            "test": False,
            "conversation_id": _CONVERSATION_ID,
            "state": "delivered",
            "attempts": 1,
            "status": 204,
            "error": None,
            "duration_ms": 84,
            "request": "webhook-id: " + _EVENT_ID + "\n…",
            "response": "Content-Length: 0\n\n",
            "created_at": "2025-01-18T15:30:04Z",
            "last_attempt_at": "2025-01-18T15:30:04.210Z",
            "next_attempt_at": None,
            "finished_at": "2025-01-18T15:30:04.210Z",
        }
    ),
    "BackfillIn": {
        "channel": "voice",
        "filters": {"agent": _AGENT_ID, "started_at__gte": "2025-01-01"},
    },
    "StartIn": {
        "channel": "voice",
        "filters": {"agent": _AGENT_ID, "started_at__gte": "2025-01-01"},
        "token": "eyJub25jZSI6…",
    },
    "Preview": _PREVIEW,
    "Backfill": _BACKFILL,
    "Backfills": _page(_BACKFILL),
    "Items": _page(
        {
            "conversation_id": _CONVERSATION_ID,
            "state": "done",
            "error_code": None,
            "error_message": None,
            "analysis_id": _ANALYSIS_ID,
        }
    ),
}

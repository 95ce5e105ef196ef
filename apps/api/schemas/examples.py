"""Parts that the examples of several schemas share."""

from typing import Any

CONVERSATION_ID = "conv_4uOs8NxX0dTq1nKpUrZ3aB"
AGENT_ID = "agt_7cJkQ2mVfE5wYbR9tHs1Ld"
ANALYSIS_ID = "an_6tYhN3bVgF5cDxS8zAqW1e"
BACKFILL_ID = "bf_2pLmW8rXzT6vKq3nJd0Gya"
WEBHOOK_ID = "wh_9sKd3fGh2jLq8wErTy5uIo"
SOURCE_ID = "in_1zXcVbNm4aSdFgHj6qWeRt"
EVENT_ID = "msg_8uJnM5kLp2oIhGfD4sRaZx"
CONFIG = "sha256:3f1d0c2b9a8e7f6d5c4b3a29180716f5e4d3c2b1a0918273645546372819fafb"
DRAFT: dict[str, Any] = {
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

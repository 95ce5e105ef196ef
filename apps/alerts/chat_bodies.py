"""Bodies that Slack's and Teams' incoming webhooks take."""

from typing import Any

from .models import ChannelKind

_SLACK_LENGTH = 2_900
"""Slack takes 3,000 characters in a block."""
_TEAMS_LENGTH = 20_000
"""Teams takes 28 KB in a message."""


def chat_body(kind: str, subject: str, body: str) -> dict[str, Any]:
    """Return the JSON of a post: Block Kit for Slack, an Adaptive Card for Teams."""
    if kind == ChannelKind.SLACK:
        return _slack(subject, body)
    return _teams(subject, body)


def _slack(subject: str, body: str) -> dict[str, Any]:
    text = _cut(body, _SLACK_LENGTH)
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {
        "text": subject,  # shown in notifications, and where blocks aren't
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": _cut(subject, 150)}},
            {"type": "section", "text": {"type": "mrkdwn", "text": escaped[:3_000]}},
        ],
    }


def _teams(subject: str, body: str) -> dict[str, Any]:
    lines = [line for line in _cut(body, _TEAMS_LENGTH).splitlines() if line]
    blocks: list[dict[str, Any]] = [
        {"type": "TextBlock", "text": subject, "weight": "Bolder", "size": "Medium", "wrap": True}
    ]
    blocks += [{"type": "TextBlock", "text": line, "wrap": True} for line in lines]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": blocks,
    }
    content = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [content]}


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"

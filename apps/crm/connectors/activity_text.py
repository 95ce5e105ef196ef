"""The text of a logged conversation."""

from .base import Activity
from .shortening import shortened


def facts(activity: Activity) -> list[str]:
    """Return the lines below the summary: outcome and link."""
    lines = [f"Outcome: {activity.outcome}"] if activity.outcome else []
    return [*lines, activity.url] if activity.url else lines


def plain_text(activity: Activity, limit: int) -> str:
    """Return summary, outcome, and link in at most ``limit`` characters; the summary gives way."""
    below = "\n".join(facts(activity))
    room = limit - len(below) - 2 if below else limit
    summary = shortened(activity.summary.strip(), max(room, 0))
    return "\n\n".join(part for part in (summary, below) if part)

"""Follow-ups of conversations."""

from typing import Any

from apps.conversations.models import Conversation
from apps.follow_ups.models import FollowUp, FollowUpRule

from .agents import make_agent
from .conversations import make_conversation


def make_follow_up(conversation: Conversation | None = None, **values: Any) -> FollowUp:
    """Make an open follow-up, of a conversation of its own where none is given."""
    if values.get("done_at"):
        values.setdefault("done_by", "Ada")
    return FollowUp.objects.create(
        conversation=conversation or make_conversation(make_agent()),
        **{"origin": "person", "created_by": "tests", "reason": "Call back", **values},
    )


def make_follow_up_rule(**values: Any) -> FollowUpRule:
    """Make a rule for all agents that every result matches."""
    document = {"field": "status", "value": "ended"}
    return FollowUpRule.objects.create(
        **{"document": document, "updated_by": "tests", **values},
    )

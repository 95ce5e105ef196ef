"""Alert rules, their incidents, and the notifications about them.

A rule watches single results, or one number over a window. A problem that it finds is an
*incident*: at most one is open per rule and agent, which the database enforces. Its history is a
list of events, and notifications are written in the same transaction as the change
(`docs/alerts.md`).
"""

from .incidents import (
    Cause,
    Check,
    EventKind,
    Incident,
    IncidentEvent,
    IncidentQuerySet,
    IncidentState,
    Match,
    Resolution,
    incident_id,
)
from .messages import (
    CapNotice,
    Message,
    MessageKind,
    MessageState,
    message_id,
)
from .rules import (
    AlertRule,
    ChannelKind,
    Direction,
    Evaluation,
    Kind,
    NoData,
    NotificationChannel,
    RuleState,
    Standing,
    rule_id,
)

__all__ = [
    "AlertRule",
    "CapNotice",
    "Cause",
    "ChannelKind",
    "Check",
    "Direction",
    "Evaluation",
    "EventKind",
    "Incident",
    "IncidentEvent",
    "IncidentQuerySet",
    "IncidentState",
    "Kind",
    "Match",
    "Message",
    "MessageKind",
    "MessageState",
    "NoData",
    "NotificationChannel",
    "Resolution",
    "RuleState",
    "Standing",
    "incident_id",
    "message_id",
    "rule_id",
]

"""A rule and an open incident for the demo data."""

from datetime import datetime

from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.conversations.models import Conversation

from .definitions import Definition
from .evaluate import settle
from .incidents import add_matches, announce_open, open_incident
from .models import AlertRule, EventKind, Incident, Kind, RuleState
from .services import create_rule


def create_demo_rule(
    *, name: str, channel: str, condition: dict[str, object], by: Actor, agent: Agent | None = None
) -> AlertRule:
    """Create a rule of single results without recipients. ``condition`` is a rule document."""
    wanted = Definition(
        name=name,
        kind=Kind.RESULT,
        channel=channel,
        agent=agent,
        condition=condition,
        quiet_hours=720,
    )
    return create_rule(wanted=wanted, by=by)


def create_demo_incident(
    *, rule: AlertRule, conversations: list[Conversation], at: datetime
) -> Incident:
    """Open an incident of a rule with these conversations behind it, as of a time."""
    incident = open_incident(rule, agent_id=None, at=at)
    added = add_matches(incident, [c.pk for c in conversations], at=at)
    incident.events.filter(kind=EventKind.OPENED).update(count=added)
    announce_open(incident, at)
    settle(rule, None, RuleState.ALERTING, at)
    return incident

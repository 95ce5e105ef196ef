"""An alert rule of the demo, and its open incident."""

from datetime import datetime, timedelta

from apps.agents.models import Agent
from apps.alerts.demo import create_demo_incident, create_demo_rule
from apps.alerts.models import AlertRule
from apps.conversations.filters import RuleFields
from apps.conversations.filters.rules import Document, read_rule
from apps.conversations.models import Conversation

from .people import person

NAME = "Unhappy caller, nothing solved"
SHOWN = 4
CONDITION: Document = {
    "all": [
        {"field": "call_successful", "value": False},
        {"field": "user_sentiment", "value": "Negative"},
    ]
}


def add_incident(agent: Agent, now: datetime) -> None:
    """Add the rule, set up a month ago, and an incident with the newest calls that match it."""
    if AlertRule.objects.filter(name=NAME).exists():
        return
    rule = create_demo_rule(
        name=NAME,
        channel=agent.channel,
        condition=CONDITION,
        by=person("Ines Calloway"),
        agent=agent,
    )
    set_up = now - timedelta(days=30)
    AlertRule.objects.filter(pk=rule.pk).update(created_at=set_up, updated_at=set_up)
    matches = Conversation.objects.filter(agent=agent, ended_at__lte=now).filter(
        read_rule(CONDITION, source=RuleFields(agent.channel)).q
    )
    newest = list(matches.order_by("-ended_at", "-pk")[:SHOWN])
    if newest:
        create_demo_incident(rule=rule, conversations=newest, at=newest[-1].ended_at or now)

"""A weekly mail report of the demo."""

from datetime import datetime
from urllib.parse import urlencode

from apps.agents.models import Agent
from apps.insights.email_reports import save_report
from apps.insights.models import EmailReport, Weekday

from .people import person

NAME = "Billing calls, week against week"


def add_report(agent: Agent, now: datetime) -> None:
    """Add a report about an agent. It has no recipients: demo members have no addresses."""
    if EmailReport.objects.filter(name=NAME).exists():
        return
    report = EmailReport(
        name=NAME,
        channel=agent.channel,
        filters=urlencode({"agent": agent.public_id}),
        weekday=Weekday.MONDAY,
        hour=8,
    )
    save_report(report, recipients=(), by=person("Ines Calloway"), now=now)

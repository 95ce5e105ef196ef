"""Conversations that waited for their agent to be set up continue when it is (decision 0011).

Saving the draft of an agent that a source created sends a task; where that is lost, the
hourly one finds by the audit log which agents were set up recently.
"""

from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from apps.accounts.models import AuditEntry
from apps.agents.models import Agent
from apps.conversations.models import CLOSED, AnalysisState, Conversation, Reason

RECENTLY = timedelta(hours=3)


def release(*, agent: Agent, now: datetime | None = None) -> int:
    """Make the conversations due that have no analysis because no one had set ``agent`` up.

    How many. The sweep asks for their analyses, by the settings that were saved, and writes down
    why those get none that still do not.
    """
    if agent.unconfigured:
        return 0
    of_agent = Conversation.objects.filter(Q(agent=agent) | Q(transfers__to_version__agent=agent))
    waiting = Q(
        analysis_state=AnalysisState.SKIPPED,
        analysis_reason=Reason.UNCONFIGURED,
        status__in=CLOSED,
    )
    # The condition stands twice: what changes while this waits for a row is looked at again.
    rows = Conversation.objects.filter(waiting, pk__in=of_agent.filter(waiting).values("pk"))
    return rows.update(
        analysis_state=AnalysisState.NONE, analysis_reason="", analyze_at=now or timezone.now()
    )


def release_recent(*, now: datetime) -> int:
    """``release`` of every agent that was set up within the last hours; how many rows."""
    lately = AuditEntry.objects.filter(verb="agent.configured", at__gte=now - RECENTLY)
    agents = Agent.objects.filter(public_id__in=lately.values("target"))
    return sum(release(agent=agent, now=now) for agent in agents)

"""Erasing by itself what an agent no longer keeps.

How long is a setting of the agent: that of its latest published version, of its draft as long as
none is published. A transferred conversation is kept as long as the agent that answered it says.
Days count from the last sign of life: the end, else the last message, else the start or arrival.
"""

from datetime import datetime, timedelta

from django.db.models import BooleanField, ExpressionWrapper, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from apps.accounts.actors import Actor
from apps.agents.models import Agent, AgentVersion
from apps.conversations.models import Conversation
from apps.conversations.querysets import ConversationQuerySet

from .erasing import erase, forget_erased
from .models import IntakePayload

BY = Actor.system("retention")
AT_ONCE = 20_000
"""Conversations of one agent in one round: the next round goes on, within the hour or at once."""
NOBODYS_KEPT = timedelta(days=90)
"""How long a payload that belongs to no conversation, refused or not, is kept for inspection."""


def retention_of(agent: Agent) -> int | None:
    """Days that the agent keeps conversations at present; None: for ever."""
    return next((days for pk, _, days in _rules() if pk == agent.pk), None)


def outlived(*, agent_id: int, days: int, now: datetime) -> ConversationQuerySet:
    """The agent's conversations in which nothing has happened for so many days."""
    before = now - timedelta(days=days)
    # No conversation ends before it starts: the index of agent and start finds all there can be.
    old = Conversation.objects.filter(agent=agent_id, sort_at__lt=before)
    ended = Coalesce("ended_at", "last_message_at", "sort_at")
    return old.alias(last_sign=ended).filter(last_sign__lt=before)


def purge(*, now: datetime) -> int:
    """Erase what agents no longer keep, and what was kept of erasures and refusals for a time.

    Returns how many conversations went. Each agent's are erased in groups, the oldest first: a
    purge that dies is followed by one that goes on.
    """
    gone = 0
    for pk, public_id, days in _rules():
        rows = outlived(agent_id=pk, days=days, now=now).order_by("sort_at", "pk")
        oldest = list(rows.values_list("pk", flat=True)[:AT_ONCE])
        if oldest:
            chosen = Conversation.objects.filter(pk__in=oldest)
            why = f"{public_id} keeps conversations for {days:,} days"
            gone += erase(conversations=chosen, by=BY, why=why)
    forget_erased(now=now)
    nobodys = IntakePayload.objects.filter(conversation=None)
    nobodys.filter(received_at__lt=now - NOBODYS_KEPT).delete()
    return gone


def _rules() -> list[tuple[int, str, int]]:
    """The agents that keep conversations for a time only: key, public id, days."""
    published_first = ExpressionWrapper(Q(published_at=None), output_field=BooleanField())
    versions = AgentVersion.objects.filter(agent=OuterRef("pk")).order_by(
        published_first, "-number"
    )
    agents = Agent.objects.annotate(kept=Subquery(versions.values("retention_days")[:1]))
    rows = agents.filter(kept__isnull=False).order_by("pk")
    return list(rows.values_list("pk", "public_id", "kept"))

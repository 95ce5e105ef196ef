"""Erase conversations that are older than their agent's retention period.

The period is a setting of the agent's latest published version, or of its draft while none is
published. A transferred conversation follows the agent that took it first. Days count from the
end, else from the last message, else from the start or arrival.
"""

from datetime import datetime, timedelta

from django.db.models import BooleanField, ExpressionWrapper, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from apps.accounts.actors import Actor
from apps.agents.models import Agent, AgentVersion
from apps.conversations.models import Conversation, ConversationQuerySet
from apps.intake.services import forget_erased
from apps.platforms.payloads import purge_unclaimed

from .erasure import erase

BY = Actor.system("retention")
AT_ONCE = 20_000
"""Conversations of one agent per purge; the next purge continues."""


def retention_of(agent: Agent) -> int | None:
    """Return the days that the agent keeps conversations; None: indefinitely."""
    return next((days for pk, _, days in _rules() if pk == agent.pk), None)


def outlived(*, agent_id: int, days: int, now: datetime) -> ConversationQuerySet:
    """Return the agent's conversations in which nothing has happened for this many days."""
    before = now - timedelta(days=days)
    # No conversation ends before it starts: the index of agent and start finds all there can be.
    old = Conversation.objects.filter(agent=agent_id, sort_at__lt=before)
    ended = Coalesce("ended_at", "last_message_at", "sort_at")
    return old.alias(last_sign=ended).filter(last_sign__lt=before)


def purge(*, now: datetime) -> int:
    """Erase everything past its retention period. Return how many conversations were erased.

    Records of erasures and payloads without a conversation are deleted too. Each agent's
    conversations are erased in groups, the oldest first, so the next purge continues a dead one.
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
    purge_unclaimed(now=now)
    return gone


def _rules() -> list[tuple[int, str, int]]:
    """Return key, public ID, and days of the agents with a retention period."""
    published_first = ExpressionWrapper(Q(published_at=None), output_field=BooleanField())
    versions = AgentVersion.objects.filter(agent=OuterRef("pk")).order_by(
        published_first, "-number"
    )
    agents = Agent.objects.annotate(kept=Subquery(versions.values("retention_days")[:1]))
    rows = agents.filter(kept__isnull=False).order_by("pk")
    return list(rows.values_list("pk", "public_id", "kept"))

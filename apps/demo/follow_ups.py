"""Follow-ups of the demo: promised by chats, and hot leads by a rule of their agent."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from apps.agents.models import Agent
from apps.analysis.models import Analysis
from apps.conversations.models import Trigger
from apps.conversations.results import NewResult
from apps.follow_ups import services
from apps.follow_ups.models import Applies, FollowUp, FollowUpQuerySet
from apps.follow_ups.results import request_follow_ups
from apps.follow_ups.rules import save_rule

from .people import person

DAYS = 45
"""Follow-ups reach back this far."""
OPEN_DAYS = 16
"""Older ones are done."""


def add_follow_ups(agents: Mapping[str, Agent], source: str, now: datetime) -> None:
    """Add the follow-ups of the last weeks as their results added them then.

    Those that the load itself added are replaced: a time that is recent by the clock may not be
    by the demo's moment.
    """
    sales = agents["sales_chat"]
    save_rule(
        rule=None,
        agent=sales,
        values={
            "document": {"field": "analysis.lead_quality", "value": "hot"},
            "reason_field": "next_step",
            "due_days": 2,
            "applies": Applies.FIRST,
            "enabled": True,
        },
        by=person("Dario Whitcombe"),
    )
    FollowUp.objects.filter(conversation__source=source).delete()
    firsts = Analysis.objects.filter(
        conversation__source=source,
        trigger=Trigger.IMPORTED,
        finished_at__lte=now,
        conversation__sort_at__gte=now - timedelta(days=DAYS),
    ).select_related("agent_version", "conversation")
    for result in firsts.order_by("conversation__sort_at", "pk"):
        ended = result.conversation.ended_at or result.conversation.sort_at
        request_follow_ups(
            [
                NewResult(
                    conversation_id=result.conversation_id,
                    agent_id=result.agent_version.agent_id,
                    analysis=result.public_id,
                    values=result.output or {},
                    trigger=result.trigger,
                    notifies=False,
                )
            ],
            now=ended,
        )
    _work_off(FollowUp.objects.filter(conversation__source=source), now)


def _work_off(rows: FollowUpQuerySet, now: datetime) -> None:
    """Finish the old ones, a day after they were added, with a note on some."""
    old = rows.filter(created_at__lt=now - timedelta(days=OPEN_DAYS))
    services.finish(rows=old, by=person("Dario Whitcombe"))
    done = list(rows.done().order_by("created_at", "pk"))
    for position, row in enumerate(done):
        row.done_at = row.created_at + timedelta(hours=5 + position * 7 % 40)
        row.done_by = ("Dario Whitcombe", "Ines Calloway")[position % 2]
    FollowUp.objects.bulk_update(done, ["done_at", "done_by"])
    waiting = list(rows.open().order_by("created_at", "pk"))
    for row in waiting[::3]:
        row.note = "Left a message. Try again in the morning."
    FollowUp.objects.bulk_update(waiting, ["note"])

"""Tasks of this room: kicks that may be lost, doubled or late; the rows know the work."""

from celery import shared_task
from django.utils import timezone

from apps.agents.models import Agent

from . import kept, lifecycle, releasing, replaying


@shared_task(name="intake.sweep")
def sweep() -> None:
    """End idle chats and ask for the analyses that are due."""
    lifecycle.sweep()


@shared_task(name="intake.purge")
def purge() -> None:
    """Delete accepted payloads that are old. Runs every hour."""
    kept.purge(now=timezone.now())


@shared_task(name=replaying.TASK)
def replay() -> None:
    """Take in once more what somebody asked to be replayed."""
    replaying.replay_waiting()


@shared_task(name="intake.release")
def release(agent_id: str = "") -> None:
    """Go on with what waited for this agent to be set up; without one, for any of late."""
    if agent_id:
        for agent in Agent.objects.filter(public_id=agent_id):
            releasing.release(agent=agent)
    else:
        releasing.release_recent(now=timezone.now())

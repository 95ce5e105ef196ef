"""Tasks of intake: wake-up signals that may be lost, duplicated or late."""

from celery import shared_task
from django.utils import timezone

from apps.agents.models import Agent

from . import pending_setup


@shared_task(name="intake.release")
def release(agent_id: str = "") -> None:
    """Release conversations waiting for this agent's setup; without an ID, of all recent setups."""
    if agent_id:
        for agent in Agent.objects.filter(public_id=agent_id):
            pending_setup.release(agent=agent)
    else:
        pending_setup.release_recent(now=timezone.now())

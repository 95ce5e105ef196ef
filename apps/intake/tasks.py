"""Tasks of this room: kicks that may be lost, doubled or late; the rows know the work."""

from celery import shared_task
from django.utils import timezone

from . import lifecycle, replaying, retention


@shared_task(name="intake.sweep")
def sweep() -> None:
    """End idle chats and ask for the analyses that are due."""
    lifecycle.sweep()


@shared_task(name="intake.purge")
def purge() -> None:
    """Erase what agents no longer keep (product 2.7); hourly is often enough."""
    retention.purge(now=timezone.now())


@shared_task(name=replaying.TASK)
def replay() -> None:
    """Take in once more what somebody asked to be replayed."""
    replaying.replay_waiting()

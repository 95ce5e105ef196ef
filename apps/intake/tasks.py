"""Tasks of this room: kicks that may be lost, doubled or late; the rows know the work."""

from celery import shared_task

from . import lifecycle, replaying


@shared_task(name="intake.sweep")
def sweep() -> None:
    """End idle chats and ask for the analyses that are due."""
    lifecycle.sweep()


@shared_task(name=replaying.TASK)
def replay() -> None:
    """Take in once more what somebody asked to be replayed."""
    replaying.replay_waiting()

"""Tasks of platforms: wake-up signals that may be lost, duplicated or late."""

from celery import shared_task
from django.utils import timezone

from apps.intake import lifecycle

from . import payloads, sources
from . import replay as replays


@shared_task(name="intake.sweep")
def sweep() -> None:
    """End idle conversations and request the analyses that are due.

    It is here because a source says whether its platform's own analysis is waited for.
    """
    lifecycle.sweep(rules_of=sources.rules_of)


@shared_task(name="platforms.purge")
def purge() -> None:
    """Delete accepted payloads that are old. Runs every hour."""
    payloads.purge(now=timezone.now())


@shared_task(name=replays.TASK)
def replay() -> None:
    """Replay the payloads that wait for it."""
    replays.replay_waiting()

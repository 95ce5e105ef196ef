"""Kicks: a task carries nothing and may be lost, doubled or late; the rows know the work."""

from typing import Any

from celery import shared_task
from celery.signals import worker_shutdown, worker_shutting_down
from django.utils import timezone

from apps.core.tasks import send

from .claims import work_waits
from .host import host
from .keeping import forget_old
from .settling import drop_leftovers


@shared_task(name="webhooks.deliver")
def deliver() -> None:
    """Run the courier in this process, unless it runs already."""
    host.run()


@shared_task(name="webhooks.sweep")
def sweep() -> None:
    """Kick a courier where something is due that nobody was told of, or that is tried again."""
    now = timezone.now()
    drop_leftovers(now)
    if work_waits(now):
        send("webhooks.deliver", queue="outbound", kwargs={})


@shared_task(name="webhooks.purge")
def purge() -> None:
    """Forget what was settled long ago."""
    forget_old(timezone.now())


@worker_shutting_down.connect
def _stop_courier(**kwargs: Any) -> None:
    """SIGTERM: bring home what is on its way, take no more."""
    host.stop()


@worker_shutdown.connect
def _close_client(**kwargs: Any) -> None:
    """All tasks have ended: nothing needs the connections any more."""
    host.close()

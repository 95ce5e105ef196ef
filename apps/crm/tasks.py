"""Wake-ups: a task carries nothing and may be lost, doubled or late. The rows hold the work."""

from celery import shared_task
from django.utils import timezone

from apps.core.tasks import send
from apps.work.host import host

from .claims import work_waits
from .push_queue import PushQueue
from .retention import forget_old


@shared_task(name="crm.push")
def push() -> None:
    """Send due pushes from this process, unless it does so already."""
    host.run(PushQueue())


@shared_task(name="crm.sweep")
def sweep() -> None:
    """Have due pushes sent that no one sends, or that are retried."""
    if work_waits(timezone.now()):
        send("crm.push", queue="outbound", kwargs={})


@shared_task(name="crm.purge")
def purge() -> None:
    """Delete pushes that ended long ago."""
    forget_old(timezone.now())

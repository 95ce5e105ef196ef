"""Wake-ups: a task carries nothing and may be lost, doubled or late. The rows know the work."""

from celery import shared_task
from django.utils import timezone

from apps.core.tasks import send
from apps.work.host import host

from .claims import work_waits
from .delivery import DeliveryQueue
from .record import drop_leftovers
from .retention import forget_old


@shared_task(name="webhooks.deliver")
def deliver() -> None:
    """Send the deliveries that are due, unless this process does so already."""
    host.run(DeliveryQueue())


@shared_task(name="webhooks.sweep")
def sweep() -> None:
    """Have deliveries sent that are due and that no one sends, or that are tried again."""
    now = timezone.now()
    drop_leftovers(now)
    if work_waits(now):
        send("webhooks.deliver", queue="outbound", kwargs={})


@shared_task(name="webhooks.purge")
def purge() -> None:
    """Delete deliveries that ended long ago."""
    forget_old(timezone.now())

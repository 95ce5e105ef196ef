"""The task that deletes expired data."""

from celery import shared_task
from django.utils import timezone

from . import retention


@shared_task(name="privacy.purge")
def purge() -> None:
    """Erase the conversations that agents no longer keep. Runs every hour."""
    retention.purge(now=timezone.now())

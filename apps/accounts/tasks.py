"""The task that deletes expired rows."""

from celery import shared_task
from django.utils import timezone

from apps.accounts import services


@shared_task(name="accounts.purge")
def purge() -> None:
    """Delete expired idempotency responses and sign-in counts; hourly is often enough."""
    services.purge_expired(now=timezone.now())

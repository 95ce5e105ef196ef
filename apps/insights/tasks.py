"""Tasks of insights."""

from celery import shared_task
from django.utils import timezone

from . import mail


@shared_task(name="insights.send_reports")
def send_reports() -> None:
    """Send the weekly reports that are due. Runs every minute."""
    mail.send_due(timezone.now())

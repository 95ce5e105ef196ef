"""Weekly reports of insights."""

from typing import Any

from django.utils import timezone

from apps.insights.models import EmailReport


def make_email_report(**values: Any) -> EmailReport:
    """Make a report of all calls that is due now."""
    defaults = {"name": "Weekly", "channel": "voice", "due_at": timezone.now()}
    return EmailReport.objects.create(**{**defaults, **values})

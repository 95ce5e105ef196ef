"""Send weekly reports: plain text with a simple HTML version."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db.models import F
from django.template.loader import render_to_string

from apps.accounts.models import User
from apps.conversations.filters import FilterError
from apps.core.errors import UserError

from .email_reports import next_due
from .models import EmailReport
from .weekly import WeeklyReport, weekly_report

logger = logging.getLogger(__name__)

RETRY = timedelta(minutes=15)
ATTEMPTS = 4
"""Failures in a row after which the report waits for its next week."""


class MailFailed(UserError):
    """Raised where a mail couldn't be sent."""

    code = "mail_failed"


def send_due(now: datetime) -> int:
    """Send the reports that are due; return how many were sent.

    The process that moves ``due_at`` on sends the report. If it dies then, the report is due again
    a quarter of an hour later.
    """
    sent = 0
    for report in EmailReport.objects.filter(due_at__lte=now).order_by("due_at", "pk"):
        mine = EmailReport.objects.filter(pk=report.pk, due_at=report.due_at)
        if mine.update(due_at=now + RETRY, attempts=F("attempts") + 1):
            report.refresh_from_db()
            sent += _send(report, now)
    return sent


def _send(report: EmailReport, now: datetime) -> bool:
    following = next_due(report.weekday, report.hour, after=now)
    claimed = EmailReport.objects.filter(pk=report.pk, due_at=report.due_at)
    try:
        send(report, recipients_of(report), now=now)
    except (MailFailed, FilterError) as error:
        logger.warning("Report %s wasn't sent: %s", report.public_id, error)
        failed = {"error": str(error)[:300]}
        if report.attempts >= ATTEMPTS:
            claimed.update(due_at=following, attempts=0, **failed)
        else:
            claimed.update(**failed)
        return False
    claimed.update(due_at=following, attempts=0, error="", sent_at=now)
    return True


def recipients_of(report: EmailReport) -> list[User]:
    """Return the members that get a report: active ones with an address."""
    members = report.recipients.filter(is_active=True).exclude(email="")
    return list(members.order_by("pk"))


def send(report: EmailReport, recipients: Sequence[User], *, now: datetime) -> None:
    """Send a report to members, one mail each. Raises MailFailed and FilterError."""
    if not recipients:
        return
    weekly = weekly_report(report, now=now)
    text, html = drawn(weekly)
    mails = []
    for user in recipients:
        mail = EmailMultiAlternatives(
            weekly.subject, text, settings.DEFAULT_FROM_EMAIL, [user.email]
        )
        mail.attach_alternative(html, "text/html")
        mails.append(mail)
    try:
        get_connection().send_messages(mails)
    except OSError as error:  # SMTPException is one
        raise MailFailed(f"The mail server rejected the report: {error}"[:300]) from error


def drawn(weekly: WeeklyReport) -> tuple[str, str]:
    """Return a report as text and as HTML."""
    context = {"weekly": weekly, "site": weekly.report.site_url.rstrip("/")}
    text = render_to_string("insights/mail/report.txt", context)
    return text, render_to_string("insights/mail/report.html", context)

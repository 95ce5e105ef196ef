"""Save weekly reports, and find the next time that one is due."""

from collections.abc import Iterable
from datetime import datetime, time, timedelta

from django.db import transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.accounts.models import User

from .models import EmailReport


def next_due(weekday: int, hour: int, *, after: datetime) -> datetime:
    """Return the first moment after another one that is this hour of this weekday in TIME_ZONE.

    An hour that a clock change leaves out is the following one.
    """
    today = timezone.localdate(after)
    day = today + timedelta(days=(weekday - today.weekday()) % 7)
    found = timezone.make_aware(datetime.combine(day, time(hour)))
    if found <= after:
        found = timezone.make_aware(datetime.combine(day + timedelta(days=7), time(hour)))
    return found


@transaction.atomic
def save_report(
    report: EmailReport, *, recipients: Iterable[User], by: Actor, now: datetime
) -> EmailReport:
    """Create or change a report. It is sent the next time that its day and hour come."""
    is_new = report.pk is None
    report.due_at = next_due(report.weekday, report.hour, after=now)
    report.attempts, report.error = 0, ""
    if is_new:
        report.created_by = by.label
    report.save()
    report.recipients.set(recipients)
    _note(by, "created" if is_new else "changed", report)
    return report


@transaction.atomic
def delete_report(report: EmailReport, *, by: Actor) -> None:
    """Delete a report."""
    _note(by, "deleted", report)
    report.delete()


def subscribe(report: EmailReport, user: User, *, is_on: bool) -> None:
    """Turn a report on or off for one member, who decides this alone."""
    if is_on:
        report.recipients.add(user)
    else:
        report.recipients.remove(user)


def set_site(report: EmailReport, site_url: str) -> None:
    """Store the address that the links of a report begin with, if it has none."""
    if not report.site_url:
        report.site_url = site_url[:300]
        report.save(update_fields=["site_url"])


def _note(by: Actor, done: str, report: EmailReport) -> None:
    detail = {"name": report.name, "time": report.time}
    audit.record(by=by, verb=f"email_report.{done}", target=report.public_id, detail=detail)

"""Weekly reports by mail: list, preview, create, edit, delete, test, and one's own switch."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.access import role_required, user_of
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.accounts.responses import done, posted
from apps.conversations.filters import FilterError
from apps.core.http import render_dialog, render_either
from apps.insights import email_reports, mail
from apps.insights.forms import EmailReportForm
from apps.insights.models import EmailReport
from apps.insights.weekly import weekly_report

from .common import read_asked

LIST = "insights:reports"


@require_safe
@role_required(Role.VIEWER)
def report_list(request: HttpRequest) -> HttpResponse:
    """Show all weekly reports, with one's own switch for each."""
    reports = EmailReport.objects.prefetch_related("recipients")
    user = user_of(request)
    context = {
        "reports": [
            (one, len(members), user in members)
            for one in reports
            for members in [list(one.recipients.all())]
        ],
        "zone": settings.TIME_ZONE,
        "has_email": bool(user.email),
        "is_console": "console" in settings.EMAIL_BACKEND,
        "nav": "insights",
    }
    return render_either(
        request,
        page="insights/reports.html",
        fragment="insights/_reports.html",
        context=context,
    )


@require_safe
@role_required(Role.VIEWER)
def report(request: HttpRequest, report_id: str) -> HttpResponse:
    """Show the report as it would be sent now."""
    found = _report(report_id)
    context = {"report": found, "nav": "insights", "problem": "", "site": ""}
    try:
        context["weekly"] = weekly_report(found, now=timezone.now())
    except FilterError as error:
        context["problem"] = error.message
    return render_either(
        request,
        page="insights/report.html",
        fragment="insights/mail/_report.html",
        context=context,
    )


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def new(request: HttpRequest) -> HttpResponse:
    """Create a weekly report of the conversations that a page of insights shows."""
    user = user_of(request)
    asked = read_asked(request)
    filters = asked.filters.urlencode()
    initial = {
        "name": "Weekly report",
        "weekday": 0,
        "hour": 8,
        "channel": asked.channel,
        "filters": filters,
        "recipients": [user.pk] if user.email else [],
    }
    return _form(request, EmailReport(), EmailReportForm(posted(request), initial=initial))


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def edit(request: HttpRequest, report_id: str) -> HttpResponse:
    """Edit name, time, and recipients."""
    found = _report(report_id)
    names = ("name", "weekday", "hour", "channel", "filters")
    initial = {name: getattr(found, name) for name in names}
    initial["recipients"] = list(found.recipients.values_list("pk", flat=True))
    return _form(request, found, EmailReportForm(posted(request), initial=initial))


def _form(request: HttpRequest, found: EmailReport, form: EmailReportForm) -> HttpResponse:
    if form.is_valid():
        recipients = form.apply_to(found)
        found.site_url = request.build_absolute_uri("/")[:300]
        is_new = found.pk is None
        email_reports.save_report(
            found, recipients=recipients, by=actor_of(request), now=timezone.now()
        )
        return done(request, LIST, "Report created." if is_new else "Report saved.")
    context = {
        "form": form,
        "report": found if found.pk else None,
        "zone": settings.TIME_ZONE,
        "nav": "insights",
    }
    return render_dialog(request, "insights/report_form.html", context)


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def delete(request: HttpRequest, report_id: str) -> HttpResponse:
    """Delete a report."""
    found = _report(report_id)
    if request.method == "POST":
        email_reports.delete_report(found, by=actor_of(request))
        return done(request, LIST, "Report deleted.")
    context = {"report": found, "recipients": found.recipients.count(), "nav": "insights"}
    return render_dialog(request, "insights/report_delete.html", context)


@require_POST
@role_required(Role.VIEWER)
def subscribe(request: HttpRequest, report_id: str) -> HttpResponse:
    """Turn a report on or off for oneself."""
    found, user = _report_with_site(request, report_id), user_of(request)
    is_on = request.POST.get("on") == "1"
    email_reports.subscribe(found, user, is_on=is_on)
    messages.success(request, "Subscribed." if is_on else "Unsubscribed.")
    return redirect(LIST)


@require_POST
@role_required(Role.EDITOR)
def test(request: HttpRequest, report_id: str) -> HttpResponse:
    """Send a report to oneself, now."""
    found, user = _report_with_site(request, report_id), user_of(request)
    if not user.email:
        messages.error(request, "Your profile has no email address. An admin can add one.")
        return redirect(LIST)
    try:
        mail.send(found, [user], now=timezone.now())
    except (mail.MailFailed, FilterError) as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"Report sent to {user.email}.")
    return redirect(LIST)


def _report(report_id: str) -> EmailReport:
    return get_object_or_404(EmailReport, public_id=report_id)


def _report_with_site(request: HttpRequest, report_id: str) -> EmailReport:
    # The report of the demo has no address yet, and its links would lead nowhere.
    found = _report(report_id)
    email_reports.set_site(found, request.build_absolute_uri("/"))
    return found

"""Incidents: the list, one with the conversations behind it, and what people do about it."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.forms import add_refusal
from apps.accounts.models import Role
from apps.accounts.responses import posted
from apps.alerts import incidents as services
from apps.alerts import overview
from apps.alerts.forms import IncidentsForm, NoteForm, OwnerForm
from apps.alerts.models import AlertRule, Incident
from apps.conversations.filters import FilterError
from apps.core.errors import UserError
from apps.core.http import ToastKind, dialog_done, render_dialog, render_either, wants_fragment
from apps.core.pagination import CursorError, Page, page

CHANGED = "alerts:changed"
"""The event after which what shows incidents loads itself again."""
PER_PAGE = 50


@require_safe
@role_required(Role.VIEWER)
def incident_list(request: HttpRequest) -> HttpResponse:
    """Show incidents, the newest first, filtered by the query."""
    form = IncidentsForm(request.GET)
    found, problem = _found(request, form)
    context = {
        "form": form,
        "page": found,
        "problem": problem,
        "filtered": bool(form.data),
        "has_rules": AlertRule.objects.exists(),
        "nav": "alerts",
    }
    return render_either(
        request,
        page="alerts/incident_list.html",
        fragment="alerts/_incidents.html",
        context=context,
    )


def _found(request: HttpRequest, form: IncidentsForm) -> tuple[Page[Incident], str]:
    if not form.is_valid():
        return Page([], None, None), " ".join(str(text) for e in form.errors.values() for text in e)
    rows = overview.incidents_of(**form.cleaned_data)
    try:
        return page(rows, order=["-pk"], cursor=request.GET.get("cursor"), limit=PER_PAGE), ""
    except CursorError as error:
        return Page([], None, None), error.message


@require_safe
@never_cache
@role_required(Role.VIEWER)
def count(request: HttpRequest) -> HttpResponse:
    """Show how many incidents are open: a fragment of the navigation."""
    return render(request, "alerts/_count.html", {"open": overview.open_count()})


@require_safe
@role_required(Role.VIEWER)
def detail(request: HttpRequest, incident_id: str) -> HttpResponse:
    """Show an incident: its facts, the conversations behind it, and its history."""
    incident = _incident(incident_id)
    problem, behind = "", overview.Behind([], 0)
    try:
        behind = overview.behind(incident)
    except FilterError as error:
        problem = error.message
    context = {
        "incident": incident,
        "rule": incident.rule,
        "behind": behind,
        "problem": problem,
        "events": incident.events.order_by("-pk"),
        "nav": "alerts",
    }
    return render_either(
        request, page="alerts/incident.html", fragment="alerts/_incident.html", context=context
    )


@require_POST
@role_required(Role.OPERATOR)
def acknowledge(request: HttpRequest, incident_id: str) -> HttpResponse:
    """Note that the reader looks at it."""
    incident = _incident(incident_id)
    try:
        services.acknowledge(incident=incident, by=actor_of(request))
    except UserError as error:
        return _notify(request, incident, error.message, "warn")
    return _notify(request, incident, "Incident acknowledged.")


@require_http_methods(["GET", "POST"])
@role_required(Role.OPERATOR)
def assign(request: HttpRequest, incident_id: str) -> HttpResponse:
    """Choose who looks at it."""
    incident = _incident(incident_id)
    owner = incident.owner.username if incident.owner else ""
    form = OwnerForm(posted(request), initial={"owner": owner})
    if form.is_valid():
        try:
            chosen = form.cleaned_data["owner"]
            services.assign(incident=incident, owner=chosen, by=actor_of(request))
        except UserError as error:
            add_refusal(form, error)
        else:
            return _notify(request, incident, "Incident assigned.")
    context = {"incident": incident, "form": form, "nav": "alerts"}
    return render_dialog(request, "alerts/incident_assign.html", context)


@require_http_methods(["GET", "POST"])
@role_required(Role.OPERATOR)
def note(request: HttpRequest, incident_id: str) -> HttpResponse:
    """Edit the note."""
    incident = _incident(incident_id)
    form = NoteForm(posted(request), initial={"note": incident.note})
    if form.is_valid():
        try:
            services.write_note(
                incident=incident, note=form.cleaned_data["note"], by=actor_of(request)
            )
        except UserError as error:
            add_refusal(form, error)
        else:
            return _notify(request, incident, "Note saved.")
    context = {"incident": incident, "form": form, "nav": "alerts"}
    return render_dialog(request, "alerts/incident_note.html", context)


@require_http_methods(["GET", "POST"])
@role_required(Role.OPERATOR)
def resolve(request: HttpRequest, incident_id: str) -> HttpResponse:
    """Confirm, then resolve it."""
    incident = _incident(incident_id)
    if request.method != "POST":
        context = {"incident": incident, "nav": "alerts"}
        return render_dialog(request, "alerts/incident_resolve.html", context)
    try:
        services.resolve(incident=incident, by=actor_of(request))
    except UserError as error:
        return _notify(request, incident, error.message, "warn")
    return _notify(request, incident, "Incident resolved.")


def _incident(incident_id: str) -> Incident:
    rows = Incident.objects.select_related("rule__agent", "agent", "owner")
    return get_object_or_404(rows, public_id=incident_id)


def _notify(
    request: HttpRequest, incident: Incident, text: str, kind: ToastKind = "ok"
) -> HttpResponse:
    """Say what happened: next to the dialog, or on the incident's page without script."""
    if wants_fragment(request):
        return dialog_done(text, CHANGED, kind=kind)
    messages.info(request, text)
    return redirect("alerts:incident", incident.public_id)

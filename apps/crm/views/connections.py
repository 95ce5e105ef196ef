"""Create, change, test, disable, and delete connections."""

from django.contrib import messages
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.forms import add_refusal
from apps.accounts.models import Role
from apps.accounts.responses import posted
from apps.core.errors import UserError
from apps.core.http import hx_redirect, hx_trigger, render_dialog, render_either
from apps.crm import services
from apps.crm.connectors.registry import CONNECTORS
from apps.crm.forms import ConnectionForm
from apps.crm.models import CrmConnection, DisabledCause, PushKind

CHANGED = "crm:changed"
"""The event after which lists of connections and pushes load again."""


def connection_or_404(connection_id: str) -> CrmConnection:
    """Return the connection with this public ID."""
    return get_object_or_404(CrmConnection, public_id=connection_id)


def redirect_changed(request: HttpRequest, connection: CrmConnection, text: str) -> HttpResponse:
    """Load the connection's page with a message: its title and buttons may have changed too."""
    messages.success(request, text)
    return hx_redirect(request, reverse("crm:detail", args=[connection.public_id]))


@require_safe
@role_required(Role.ADMIN)
def connection_list(request: HttpRequest) -> HttpResponse:
    """List all connections with the numbers of their pushes."""
    rows = CrmConnection.objects.annotate(
        pending=Count("pushes", filter=Q(pushes__state="pending")),
        waiting=Count("pushes", filter=Q(pushes__state="waiting_for_approval")),
        parked=Count("pushes", filter=Q(pushes__state__in=["parked", "failed"])),
    )
    context = {"connections": list(rows), "kinds": CONNECTORS.values()}
    return render_either(
        request, page="crm/connection_list.html", fragment="crm/_connection_list.html",
        context=context,
    )  # fmt: skip


@require_safe
@never_cache
@role_required(Role.ADMIN)
def banner(request: HttpRequest) -> HttpResponse:
    """Show admins on every page that a CRM rejects its connection."""
    stopped = CrmConnection.objects.filter(disabled_cause=DisabledCause.REJECTED)
    context = {"stopped": list(stopped.order_by("-disabled_at"))}
    return render(request, "crm/_banner.html", context)


@require_http_methods(["GET", "POST"])
@never_cache
@role_required(Role.ADMIN)
def new(request: HttpRequest, kind: str) -> HttpResponse:
    """Create a connection. A generated signing secret is shown this once."""
    if kind not in CONNECTORS:
        raise Http404
    form = ConnectionForm(kind, None, posted(request))
    if form.is_valid():
        try:
            wanted = form.wanted(request.build_absolute_uri("/"))
            made, secret = services.create_connection(
                kind=kind, wanted=wanted, by=actor_of(request)
            )
        except UserError as error:
            add_refusal(form, error)
        else:
            if secret:
                context = {"connection": made, "secret": secret}
                shown = render_dialog(request, "crm/secret.html", context)
                return hx_trigger(shown, **{CHANGED: None})
            messages.success(request, "Connection created. Test it, then map fields.")
            return hx_redirect(request, reverse("crm:detail", args=[made.public_id]))
    context = {"form": form, "connector": CONNECTORS[kind]}
    return render_dialog(request, "crm/connection_form.html", context)


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def edit(request: HttpRequest, connection_id: str) -> HttpResponse:
    """Change settings, field map, and switches."""
    connection = connection_or_404(connection_id)
    form = ConnectionForm(connection.kind, connection, posted(request))
    if form.is_valid():
        try:
            wanted = form.wanted(request.build_absolute_uri("/"))
            services.change_connection(connection=connection, wanted=wanted, by=actor_of(request))
        except UserError as error:
            add_refusal(form, error)
        else:
            return redirect_changed(request, connection, "Connection updated.")
    connector = CONNECTORS[connection.kind]
    context = {"form": form, "connection": connection, "connector": connector}
    return render_dialog(request, "crm/connection_form.html", context)


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def test(request: HttpRequest, connection_id: str) -> HttpResponse:
    """Read the field list and one value, and show them."""
    connection = connection_or_404(connection_id)
    context: dict[str, object] = {"connection": connection}
    if request.method == "POST":
        try:
            context["findings"] = services.run_test(connection, actor_of(request))
        except UserError as error:
            context["problem"] = error.message
        shown = render_dialog(request, "crm/test.html", context)
        return hx_trigger(shown, **{CHANGED: None})
    return render_dialog(request, "crm/test.html", context)


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def enable(request: HttpRequest, connection_id: str) -> HttpResponse:
    """Confirm, then enable the connection."""
    connection = connection_or_404(connection_id)
    if request.method != "POST":
        return _confirm(request, connection, "enable")
    services.enable_connection(connection=connection, by=actor_of(request))
    return redirect_changed(request, connection, "Connection enabled.")


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def disable(request: HttpRequest, connection_id: str) -> HttpResponse:
    """Confirm, then disable the connection."""
    connection = connection_or_404(connection_id)
    if request.method != "POST":
        return _confirm(request, connection, "disable")
    services.disable_connection(connection=connection, by=actor_of(request))
    return redirect_changed(request, connection, "Connection disabled.")


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def delete(request: HttpRequest, connection_id: str) -> HttpResponse:
    """Confirm, then delete the connection with its pushes."""
    connection = connection_or_404(connection_id)
    if request.method != "POST":
        return _confirm(request, connection, "delete")
    services.delete_connection(connection=connection, by=actor_of(request))
    messages.success(request, "Connection deleted.")
    return hx_redirect(request, reverse("crm:list"))


def _confirm(request: HttpRequest, connection: CrmConnection, action: str) -> HttpResponse:
    context = {
        "connection": connection,
        "action": action,
        "title": action.capitalize(),
        "here": reverse(f"crm:{action}", args=[connection.public_id]),
        "pending": connection.pushes.filter(state="pending").count(),
        "kept": connection.pushes.count(),
        "logged": connection.pushes.filter(kind=PushKind.ACTIVITY).count(),
    }
    return render_dialog(request, "crm/confirm.html", context)

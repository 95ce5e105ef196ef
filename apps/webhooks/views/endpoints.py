"""The list of endpoints; making, changing and ending one."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.defaultfilters import pluralize
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.forms import add_refusal
from apps.accounts.models import Role
from apps.accounts.responses import posted
from apps.core.errors import UserError
from apps.core.http import hx_trigger, render_dialog, render_either
from apps.webhooks import examples, overview, services
from apps.webhooks.forms import EnableForm, EndpointForm
from apps.webhooks.models import EventType
from apps.webhooks.services import missed

from .common import CHANGED, endpoint_or_404, redirect_changed, redirect_deleted


@require_safe
@role_required(Role.ADMIN)
def endpoint_list(request: HttpRequest) -> HttpResponse:
    """Show all endpoints with their states."""
    return render_either(
        request,
        page="webhooks/endpoint_list.html",
        fragment="webhooks/_endpoint_list.html",
        context={"lines": overview.lines()},
    )


@require_safe
@never_cache
@role_required(Role.ADMIN)
def banner(request: HttpRequest) -> HttpResponse:
    """Show admins on every page that an endpoint is disabled because it failed."""
    return render(request, "webhooks/_banner.html", {"given_up": overview.given_up()})


@require_http_methods(["GET", "POST"])
@never_cache
@role_required(Role.ADMIN)
def new(request: HttpRequest) -> HttpResponse:
    """Make an endpoint and show its secret, this once."""
    form = EndpointForm(posted(request), initial={"events": ["conversation.analyzed"]})
    if form.is_valid():
        try:
            endpoint, secret = services.create_endpoint(**form.cleaned_data, by=actor_of(request))
        except UserError as error:
            add_refusal(form, error)
        else:
            context = {"endpoint": endpoint, "secret": secret, "is_new": True}
            shown = render_dialog(request, "webhooks/secret.html", context)
            return hx_trigger(shown, **{CHANGED: None})
    context = {"form": form, "example": examples.text(EventType.CONVERSATION_ANALYZED)}
    return render_dialog(request, "webhooks/endpoint_form.html", context)


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def edit(request: HttpRequest, endpoint_id: str) -> HttpResponse:
    """Edit the URL, events, or agent."""
    endpoint = endpoint_or_404(endpoint_id)
    data = posted(request)
    form = EndpointForm.of(endpoint) if data is None else EndpointForm(data)
    if form.is_valid():
        try:
            services.change_endpoint(endpoint=endpoint, **form.cleaned_data, by=actor_of(request))
        except UserError as error:
            add_refusal(form, error)
        else:
            return redirect_changed(request, endpoint, "Endpoint updated.")
    context = {
        "form": form,
        "endpoint": endpoint,
        "example": examples.text(EventType.CONVERSATION_ANALYZED),
    }
    return render_dialog(request, "webhooks/endpoint_form.html", context)


@require_http_methods(["GET", "POST"])
@never_cache
@role_required(Role.ADMIN)
def secret(request: HttpRequest, endpoint_id: str) -> HttpResponse:
    """Confirm, then create a new secret and show it once."""
    endpoint = endpoint_or_404(endpoint_id)
    if request.method != "POST":
        return render_dialog(request, "webhooks/rotate.html", {"endpoint": endpoint})
    made = services.rotate_secret(endpoint=endpoint, by=actor_of(request))
    return render_dialog(request, "webhooks/secret.html", {"endpoint": endpoint, "secret": made})


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def disable(request: HttpRequest, endpoint_id: str) -> HttpResponse:
    """Confirm, then disable the endpoint."""
    endpoint = endpoint_or_404(endpoint_id)
    if request.method != "POST":
        waiting = endpoint.deliveries.filter(state="pending").count()
        context = {"endpoint": endpoint, "waiting": waiting}
        return render_dialog(request, "webhooks/disable.html", context)
    dropped = services.disable_endpoint(endpoint=endpoint, by=actor_of(request))
    lost = f" {dropped:,} pending event{pluralize(dropped)} won’t be sent." if dropped else ""
    return redirect_changed(request, endpoint, f"Endpoint disabled.{lost}")


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def enable(request: HttpRequest, endpoint_id: str) -> HttpResponse:
    """Show the missed events, then enable the endpoint and send them, or skip them."""
    endpoint = endpoint_or_404(endpoint_id)
    form = EnableForm(posted(request))
    if not form.is_valid():
        context = {"endpoint": endpoint, "form": form, "missed": missed(endpoint).count()}
        return render_dialog(request, "webhooks/enable.html", context)
    sent = services.enable_endpoint(
        endpoint=endpoint, by=actor_of(request), send_missed=form.cleaned_data["send_missed"]
    )
    more = f" Sending {sent:,} missed event{pluralize(sent)}." if sent else ""
    return redirect_changed(request, endpoint, f"Endpoint enabled.{more}")


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def delete(request: HttpRequest, endpoint_id: str) -> HttpResponse:
    """Confirm, then delete the endpoint with its deliveries."""
    endpoint = endpoint_or_404(endpoint_id)
    if request.method != "POST":
        context = {"endpoint": endpoint, "kept": endpoint.deliveries.count()}
        return render_dialog(request, "webhooks/delete.html", context)
    services.delete_endpoint(endpoint=endpoint, by=actor_of(request))
    return redirect_deleted(request, "Endpoint deleted.")

"""Intake sources: making one, its page, its rule, its secret, its agents, and its end."""

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.forms import add_refusal
from apps.accounts.models import Role
from apps.accounts.responses import done, posted
from apps.core.errors import UserError
from apps.core.http import (
    hx_redirect,
    hx_trigger,
    render_dialog,
    render_either,
    stop_polling,
    wants_fragment,
)
from apps.platforms import sources
from apps.platforms.forms import AgentForm, RuleForm, SecretForm, SourceForm
from apps.platforms.models import IntakePayload, IntakeSource, Platform, SourceAgent
from apps.platforms.pages import arrival, mapped_agents, receiver_of, removal
from apps.platforms.registry import GUIDES

from .common import CHANGED, source_or_404, source_url, webhook_url

LATEST = 10
PRIVATE_HOSTS = ("localhost", "127.", "10.", "192.168.", "[::1]")


@require_http_methods(["GET", "POST"])
@never_cache
@role_required(Role.ADMIN)
def source_new(request: HttpRequest) -> HttpResponse:
    """Make a source. A secret that was made here is shown, this once; else on to its page."""
    asked = request.POST if request.method == "POST" else request.GET
    kind = asked.get("kind") if asked.get("kind") in GUIDES else Platform.RETELL.value
    guide = GUIDES[str(kind)]
    name = request.GET.get("name", "")[: sources.MAX_NAME]
    form = SourceForm(posted(request), initial={"kind": kind, "name": name})
    if form.is_valid():
        values = dict(form.cleaned_data)
        made = "" if values["secret"] or guide.origin != "ours" else sources.generate_secret()
        try:
            source = sources.create_source(
                **values | {"secret": values["secret"] or made}, by=actor_of(request)
            )
        except UserError as error:
            add_refusal(form, error)
        else:
            return _created(request, source, made)
    context = {"form": form, "guide": guide, "guides": GUIDES.values(), "nav": "intake"}
    return render_dialog(request, "platforms/source_form.html", context)


def _created(request: HttpRequest, source: IntakeSource, made: str) -> HttpResponse:
    if not made:
        return hx_redirect(request, source_url(source))
    return _show_secret(request, source, made)


def _show_secret(request: HttpRequest, source: IntakeSource, secret: str) -> HttpResponse:
    """Show a secret that was made here, once."""
    context = {"source": source, "secret": secret, "webhook_url": webhook_url(request, source)}
    shown = render_dialog(request, "platforms/source_secret_made.html", context | {"nav": "intake"})
    return hx_trigger(shown, **{CHANGED: None})


@require_safe
@never_cache
@role_required(Role.ADMIN)
def source_detail(request: HttpRequest, source_id: str) -> HttpResponse:
    """Show a source: its webhook URL, setup steps, agents, and recent payloads."""
    source = source_or_404(source_id)
    latest = IntakePayload.objects.filter(source=source).for_list()
    latest = latest.order_by("-received_at", "-pk")[:LATEST]
    context = {
        "source": source,
        "guide": GUIDES[source.kind],
        "webhook_url": webhook_url(request, source),
        "private": request.get_host().startswith(PRIVATE_HOSTS),
        "arrival": arrival(source),
        "agents": mapped_agents(source),
        "refused": IntakePayload.objects.filter(source=source).replayable().count(),
        "payloads": [(payload, receiver_of(payload)) for payload in latest],
        "nav": "intake",
    }
    return render_either(
        request,
        page="platforms/source_detail.html",
        fragment="platforms/_source.html",
        context=context,
    )


@require_safe
@never_cache
@role_required(Role.ADMIN)
def source_arrival(request: HttpRequest, source_id: str) -> HttpResponse:
    """Show whether the first payload arrived; polled until one was accepted."""
    source = source_or_404(source_id)
    if not wants_fragment(request):
        return redirect(source_url(source))
    now = arrival(source)
    context = {"source": source, "arrival": now, "guide": GUIDES[source.kind]}
    answer = render(request, "platforms/_waiting.html", context)
    return answer if now.waiting else stop_polling(hx_trigger(answer, **{CHANGED: None}))


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def source_change(request: HttpRequest, source_id: str) -> HttpResponse:
    """Another name or rule."""
    source = source_or_404(source_id)
    form = RuleForm(request.POST) if request.method == "POST" else RuleForm.of(source)
    if form.is_valid():
        try:
            sources.change_source(source=source, **form.cleaned_data, by=actor_of(request))
        except UserError as error:
            add_refusal(form, error)
        else:
            return _done(request, source, "Source saved. Changes apply to new conversations.")
    return _form(request, "platforms/source_change.html", source, form=form)


@require_http_methods(["GET", "POST"])
@never_cache
@role_required(Role.ADMIN)
def source_secret(request: HttpRequest, source_id: str) -> HttpResponse:
    """Show a new secret, in force at once."""
    source = source_or_404(source_id)
    form = SecretForm(posted(request))
    if form.is_valid():
        given = form.cleaned_data["secret"].strip()
        chosen = not given and GUIDES[source.kind].origin == "ours"
        made = sources.generate_secret() if chosen else ""
        try:
            sources.set_secret(source=source, secret=given or made, by=actor_of(request))
        except UserError as error:
            add_refusal(form, error)
        else:
            if made:
                return _show_secret(request, source, made)
            return _done(request, source, "Secret updated.")
    return _form(request, "platforms/source_secret.html", source, form=form)


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def source_remove(request: HttpRequest, source_id: str) -> HttpResponse:
    """Ask, in numbers, then close the receiver for good."""
    source = source_or_404(source_id)
    if request.method != "POST":
        return _form(request, "platforms/source_remove.html", source, goes=removal(source))
    sources.remove_source(source=source, by=actor_of(request))
    messages.success(request, f"{source.name} removed. Its conversations are kept.")
    return hx_redirect(request, reverse("intake:list"))


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def source_agent(request: HttpRequest, source_id: str) -> HttpResponse:
    """Say which of our agents one of the platform's is."""
    source = source_or_404(source_id)
    theirs = request.GET.get("external_id", "")[:200]
    known = SourceAgent.objects.filter(source=source, external_id=theirs).first()
    initial = {"external_id": theirs, "agent": known.agent.public_id if known else None}
    form = AgentForm(posted(request), initial=initial)
    if form.is_valid():
        try:
            mapped = sources.map_agent(source=source, **form.cleaned_data, by=actor_of(request))
        except UserError as error:
            add_refusal(form, error)
        else:
            said = f"From now on, {mapped.external_id} is {mapped.agent.name}."
            return _done(request, source, said)
    return _form(request, "platforms/source_agent.html", source, form=form, known=known)


def _form(
    request: HttpRequest, template: str, source: IntakeSource, **more: object
) -> HttpResponse:
    context: Mapping[str, Any] = {
        "source": source,
        "guide": GUIDES[source.kind],
        "back": source_url(source),
        "nav": "intake",
        **more,
    }
    return render_dialog(request, template, context)


def _done(request: HttpRequest, source: IntakeSource, message: str) -> HttpResponse:
    return done(request, source_url(source), message, event=CHANGED)

"""Derived fields: the list, the form with its preview, deleting, and recomputing past results."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.accounts.responses import done, posted
from apps.agents.models import Channel, DerivedField, DerivedType
from apps.conversations.derived.definitions import (
    InvalidDerivedField,
    document_of,
    read_definition,
)
from apps.conversations.derived.services import delete_derived_field, save_derived_field
from apps.conversations.filters import RuleFields
from apps.core.errors import UserError
from apps.core.http import render_dialog, render_either
from apps.runs.derived.forms import DerivedFieldForm
from apps.runs.derived.services import start_recompute
from apps.runs.derived.work import RecomputePreview, preview_recompute

#: Buttons of the form that ask for another drawing of it, and save nothing.
_REDRAWS = ("more", "less", "show")


@require_safe
@role_required(Role.VIEWER)
def field_list(request: HttpRequest) -> HttpResponse:
    """Show all derived fields."""
    context = {"fields": DerivedField.objects.select_related("agent"), "nav": "derived"}
    return render_either(
        request,
        page="derived/field_list.html",
        fragment="derived/_field_list.html",
        context=context,
    )


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def new(request: HttpRequest) -> HttpResponse:
    """Create a derived field of the type and channel in the address."""
    kind = request.GET.get("type", DerivedType.NUMBER)
    channel = request.GET.get("channel", Channel.VOICE)
    if kind not in DerivedType.values or channel not in Channel.values:
        raise Http404("Unknown type of field, or channel.")
    form = DerivedFieldForm(DerivedType(kind), channel, posted(request))
    return _form(request, form)


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def edit(request: HttpRequest, name: str) -> HttpResponse:
    """Edit a derived field, and show what recomputing past results would change."""
    stored = _field(name)
    form = DerivedFieldForm(
        DerivedType(stored.type), stored.channel, posted(request), stored=stored
    )
    return _form(request, form)


def _form(request: HttpRequest, form: DerivedFieldForm) -> HttpResponse:
    preview: RecomputePreview | None = None
    if form.is_bound and not _redraws(request):
        if form.is_valid() and (saved := _save(request, form)):
            messages.success(request, f"“{saved.label}” saved. New results have it from now on.")
            return HttpResponseRedirect(reverse("runs:derived_edit", args=[saved.name]))
    elif "show" in request.POST and form.is_valid():
        preview = _tried(form)
    elif form.is_bound:
        form.errors.clear()  # it is still being filled in
    context = {
        "form": form,
        "stored": form.stored,
        "channel": form.channel,
        "preview": preview,
        "nav": "derived",
    }
    return render(request, "derived/field_form.html", context)


def _redraws(request: HttpRequest) -> bool:
    return any(name in _REDRAWS or name.endswith(("-add", "-drop")) for name in request.POST)


def _save(request: HttpRequest, form: DerivedFieldForm) -> DerivedField | None:
    values = form.cleaned_data
    try:
        return save_derived_field(
            name=form.stored.name if form.stored else values["name"],
            label=values["label"],
            kind=form.kind,
            channel=form.channel,
            agent=form.chosen_agent,
            definition=form.definition(),
            by=actor_of(request),
            seen=values["seen"],
        )
    except UserError as error:
        form.add_problems(error)
        return None


def _tried(form: DerivedFieldForm) -> RecomputePreview | None:
    """Return what the form's definition would change, without saving it."""
    agent = form.chosen_agent
    name = form.stored.name if form.stored else form.cleaned_data["name"]
    try:
        definition = read_definition(
            form.definition(),
            name=name,
            kind=form.kind,
            channel=form.channel,
            agent_id=agent.pk if agent else None,
            source=RuleFields(form.channel, derived=False),
        )
    except InvalidDerivedField as error:
        form.add_problems(error)
        return None
    return preview_recompute(
        DerivedField(
            name=name,
            type=form.kind,
            channel=form.channel,
            agent=agent,
            definition=document_of(definition),
        )
    )


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def delete(request: HttpRequest, name: str) -> HttpResponse:
    """Delete a derived field."""
    field = _field(name)
    if request.method == "POST":
        delete_derived_field(field=field, by=actor_of(request))
        return done(request, "runs:derived_fields", "Derived field deleted.")
    return render_dialog(request, "derived/delete.html", {"field": field, "nav": "derived"})


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def recompute(request: HttpRequest, name: str) -> HttpResponse:
    """Show how many past results would change, and how; on POST start the run."""
    field, refusal = _field(name), ""
    if request.method == "POST":
        token = request.POST.get("token", "")
        try:
            run = start_recompute(field=field, by=actor_of(request), token=token or None)
        except UserError as error:
            refusal = error.message
        else:
            what = Channel(run.channel).noun(run.total)
            messages.success(request, f"Recomputation of {run.total:,} {what} started.")
            return redirect("runs:detail", run.public_id)
    context: dict[str, Any] = {
        "field": field,
        "preview": _preview(field),
        "refusal": refusal,
        "nav": "derived",
    }
    return render_either(
        request,
        page="derived/recompute.html",
        fragment="derived/_recompute.html",
        context=context,
    )


def _preview(field: DerivedField) -> RecomputePreview | None:
    """Return the preview; None where a field that it reads is gone."""
    try:
        return preview_recompute(field)
    except InvalidDerivedField:
        return None


def _field(name: str) -> DerivedField:
    return get_object_or_404(DerivedField.objects.select_related("agent"), name=name)

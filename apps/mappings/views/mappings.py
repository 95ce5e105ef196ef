"""Mappings of analysis fields to contact fields: listed, created, edited, and deleted."""

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.forms import add_refusal
from apps.accounts.models import Role
from apps.accounts.responses import done, posted
from apps.core.errors import UserError
from apps.core.http import render_dialog, render_either
from apps.mappings.mapping_forms import MappingForm
from apps.mappings.models import Mapping
from apps.mappings.services import delete_mapping, save_mapping
from apps.mappings.targets import targets

APPLY = "New results update contacts."


@dataclass(frozen=True, slots=True)
class Line:
    """A mapping, with the label of its contact field."""

    mapping: Mapping
    label: str


@require_safe
@role_required(Role.VIEWER)
def mapping_list(request: HttpRequest) -> HttpResponse:
    """Show all mappings: those for all agents first."""
    labels = {target.name: target.label for target in targets().values()}
    rows = Mapping.objects.select_related("agent")
    lines = [Line(row, labels.get(row.contact_field, row.contact_field)) for row in rows]
    return render_either(
        request,
        page="mappings/mapping_list.html",
        fragment="mappings/_mapping_list.html",
        context={"lines": lines, "nav": "contacts"},
    )


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def new(request: HttpRequest) -> HttpResponse:
    """Create a mapping."""
    return _form(request, None)


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def edit(request: HttpRequest, mapping_id: str) -> HttpResponse:
    """Edit a mapping."""
    return _form(request, _mapping(mapping_id))


def _form(request: HttpRequest, mapping: Mapping | None) -> HttpResponse:
    form = MappingForm(posted(request), mapping=mapping)
    if form.is_valid():
        values = form.cleaned_data
        try:
            save_mapping(
                mapping=mapping,
                agent=form.chosen_agent,
                analysis_field=values["analysis_field"],
                contact_field=values["contact_field"],
                mode=values["mode"],
                by=actor_of(request),
            )
        except UserError as error:
            add_refusal(form, error)
        else:
            text = "Mapping updated." if mapping else "Mapping created."
            return done(request, "mappings:list", f"{text} {APPLY}")
    context = {"form": form, "mapping": mapping, "nav": "contacts"}
    return render_dialog(request, "mappings/mapping_form.html", context)


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def delete(request: HttpRequest, mapping_id: str) -> HttpResponse:
    """Delete a mapping."""
    mapping = _mapping(mapping_id)
    if request.method == "POST":
        delete_mapping(mapping=mapping, by=actor_of(request))
        return done(request, "mappings:list", "Mapping deleted.")
    context = {"mapping": mapping, "nav": "contacts"}
    return render_dialog(request, "mappings/mapping_delete.html", context)


def _mapping(mapping_id: str) -> Mapping:
    return get_object_or_404(Mapping.objects.select_related("agent"), public_id=mapping_id)

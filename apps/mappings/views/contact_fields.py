"""The custom fields of contacts: listed, added, edited, and deleted."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.forms import add_refusal
from apps.accounts.models import Role
from apps.accounts.responses import done, posted
from apps.contacts.models import ContactField
from apps.contacts.services import create_field, edit_field
from apps.contacts.values import FieldType
from apps.core.errors import UserError
from apps.core.http import render_dialog, render_either
from apps.mappings.directory import field_use
from apps.mappings.forms import FieldForm, NewFieldForm


@require_safe
@role_required(Role.VIEWER)
def fields(request: HttpRequest) -> HttpResponse:
    """Show all custom fields, and how many contacts have a value of each."""
    return render_either(
        request,
        page="contacts/field_list.html",
        fragment="contacts/_field_list.html",
        context={"lines": field_use.lines(), "nav": "contacts"},
    )


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def new(request: HttpRequest) -> HttpResponse:
    """Add a field."""
    form = NewFieldForm(posted(request))
    if form.is_valid():
        answers = form.cleaned_data
        choices = answers["choices"] if answers["type"] == FieldType.CHOICE else []
        try:
            create_field(
                name=answers["name"],
                label=answers["label"],
                kind=answers["type"],
                choices=choices,
                by=actor_of(request),
            )
        except UserError as error:
            add_refusal(form, error)
        else:
            return done(request, "contacts:fields", "Field created.")
    return render_dialog(request, "contacts/field_form.html", {"form": form, "nav": "contacts"})


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def edit(request: HttpRequest, field_name: str) -> HttpResponse:
    """Edit the label and the choices. The name and the type stay."""
    field = get_object_or_404(ContactField, name=field_name)
    data = posted(request)
    form = FieldForm.of(field) if data is None else FieldForm(data)
    if form.is_valid():
        choices = form.cleaned_data["choices"] if field.type == FieldType.CHOICE else []
        try:
            edit_field(
                field=field, label=form.cleaned_data["label"], choices=choices, by=actor_of(request)
            )
        except UserError as error:
            add_refusal(form, error)
        else:
            return done(request, "contacts:fields", "Field updated.")
    context = {"form": form, "field": field, "nav": "contacts"}
    return render_dialog(request, "contacts/field_form.html", context)


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def delete(request: HttpRequest, field_name: str) -> HttpResponse:
    """Delete a field that nothing uses; where something does, say what."""
    field = get_object_or_404(ContactField, name=field_name)
    use = field_use.use_of(field)
    if request.method == "POST":
        try:
            field_use.delete_field(field=field, by=actor_of(request))
        except UserError:
            use = field_use.use_of(field)
        else:
            return done(request, "contacts:fields", "Field deleted.")
    context = {"field": field, "use": use, "nav": "contacts"}
    return render_dialog(request, "contacts/field_delete.html", context)

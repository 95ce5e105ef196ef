"""The list of contacts: what matches, page by page; the URL holds all of it."""

from collections.abc import Mapping

from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    QueryDict,
    StreamingHttpResponse,
)
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_safe

from apps.accounts.access import role_required
from apps.accounts.models import Role
from apps.contacts.models import Contact
from apps.conversations.filters import FilterError, editor
from apps.conversations.filters.chip_forms import chip_form
from apps.conversations.filters.labels import chips, refused_chips
from apps.conversations.filters.query_strings import other_params, plain_query, without
from apps.core.counts import Count, count
from apps.core.http import hx_trigger, render_either
from apps.core.pagination import CursorError
from apps.mappings.directory import listing
from apps.mappings.directory.columns import Talk, all_columns, usual_names
from apps.mappings.directory.filters import ContactFields, ContactSpec, parse

EDITOR = {"edit", "alternative", "n", "upright", "remove"}
"""Parameters of the editor's views, not of the filter that is edited."""


@require_safe
@role_required(Role.VIEWER)
def contacts(request: HttpRequest) -> HttpResponse:
    """Show the contacts that match."""
    if name := editor.half_chosen(request.GET):
        return HttpResponseRedirect(_editor_of(name, request.GET))
    if (plain := plain_query(request.GET)) is not None:
        return HttpResponseRedirect(f"{request.path}?{plain.urlencode()}".rstrip("?"))
    params = request.GET.copy()
    cursor = params.pop("cursor", [""])[-1]
    source = ContactFields()
    try:
        context = _listed(parse(params, source), cursor)
    except FilterError as error:
        context = _refused(params, error, source)
    except CursorError:
        return HttpResponseRedirect(f"{request.path}?{params.urlencode()}".rstrip("?"))
    context |= {
        "page_url": request.path,
        "edit_url": f"{reverse('contacts:filter_edit')}?",
        "query": params.urlencode(),
        "without_search": without(params, "q").urlencode(),
        "others": other_params(params, leave_out=()),
        "searched": params.get("q", ""),
        "custom": source.custom,
    }
    return render_either(
        request,
        page="contacts/contact_list.html",
        fragment="contacts/_results.html",
        context=context,
    )


def _editor_of(name: str, query: QueryDict) -> str:
    """The editor of a field that was chosen without script, where its values can be given."""
    rest = editor.without_rows(query)
    rest[name] = ""
    asked = QueryDict(mutable=True)
    asked["edit"] = name
    return f"{reverse('contacts:filter_edit')}?{asked.urlencode()}&{rest.urlencode()}"


def _listed(spec: ContactSpec, cursor: str) -> dict[str, object]:
    page = listing.page_of(spec, cursor or None)
    talks = listing.talks_of(page.items)
    everything = count(Contact.objects.all())
    return {
        "columns": spec.shown,
        "lines": [(contact, talks.get(contact.pk, Talk())) for contact in page.items],
        "next_cursor": page.next_cursor,
        "previous_cursor": page.previous_cursor,
        "matching": everything if spec.is_empty else count(spec.queryset()),
        "everything": everything,
        "chips": chips(spec),
    }


def _refused(params: QueryDict, error: FilterError, source: ContactFields) -> dict[str, object]:
    """Nothing is listed, and each mistake is shown at its filter."""
    given: Mapping[str, list[str]] = dict(params.lists())
    return {
        "columns": (),
        "lines": (),
        "matching": Count(0, exact=True),
        "everything": count(Contact.objects.all()),
        "chips": refused_chips(given, error.errors, source),
        "refusals": [error.errors[n] for n in ("q", "sort", "columns") if n in error.errors],
        "refused": True,
    }


@require_GET
@role_required(Role.VIEWER)
def filter_row(request: HttpRequest) -> HttpResponse:
    """Draw one row of the editor for its new field or operator."""
    number = request.GET.get("n", "")
    if number.isdecimal() and len(number) < 5:
        row = editor.row_of_form(ContactFields(), request.GET, int(number))
    else:
        row = editor.new_row(ContactFields(), request.GET)
    context = {"row": row, "upright": "upright" in request.GET}
    response = render(request, "conversations/_filter_row.html", context)
    return hx_trigger(response, **{"filters:changed": None})


@require_GET
@role_required(Role.VIEWER)
def filter_edit(request: HttpRequest) -> HttpResponse:
    """Show the form that a chip opens: one filter of the page's query to change, or a new one."""
    context = {
        "chip": chip_form(ContactFields(), request.GET, own=EDITOR),
        "edit_url": f"{reverse('contacts:filter_edit')}?",
        "upright": True,
        "action": reverse("contacts:list"),
        "nav": "contacts",
    }
    return render_either(
        request,
        page="contacts/filter_edit.html",
        fragment="conversations/_filter_edit.html",
        context=context,
    )


@require_safe
@role_required(Role.VIEWER)
def columns(request: HttpRequest) -> HttpResponse:
    """Show the column chooser."""
    source = ContactFields()
    try:
        shown = [column.name for column in parse(request.GET, source).shown]
    except FilterError:
        shown = usual_names(source.custom)
    groups: dict[str, list[tuple[str, str]]] = {}
    for column in all_columns(source.custom):
        group = "Custom fields" if column.custom else "Contact"
        groups.setdefault(group, []).append((column.name, column.label))
    context = {
        "groups": list(groups.items()),
        "shown": shown,
        "others": other_params(request.GET, leave_out=("columns", "cursor")),
        "page_url": reverse("contacts:list"),
        "nav": "contacts",
    }
    return render_either(
        request,
        page="contacts/columns.html",
        fragment="conversations/_columns.html",
        context=context,
    )


@require_safe
@role_required(Role.OPERATOR)
def export(request: HttpRequest) -> HttpResponseBase:
    """Stream all contacts that match as CSV, with the columns of the page."""
    params = request.GET.copy()
    params.pop("cursor", None)
    try:
        spec = parse(params)
    except FilterError as error:
        return HttpResponse(error.message, status=error.status, content_type="text/plain")
    response = StreamingHttpResponse(listing.csv_of(spec), content_type="text/csv; charset=utf-8")
    name = f"contacts-{timezone.localtime():%Y-%m-%d-%H%M}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response

"""Import contacts: upload a file, match its columns, check its rows, import."""

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.contacts.models import ContactField
from apps.core.errors import UserError
from apps.core.http import STOP_POLLING, varies_by_htmx, wants_fragment
from apps.mappings.directory import imports
from apps.mappings.directory.import_rows import targets
from apps.mappings.forms import UploadForm
from apps.mappings.models import ContactImport


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def upload(request: HttpRequest) -> HttpResponse:
    """Take a file."""
    is_sent = request.method == "POST"
    form = UploadForm(request.POST, request.FILES) if is_sent else UploadForm()
    if form.is_valid():
        file = form.cleaned_data["file"]
        try:
            stored = imports.upload(filename=file.name, data=file.read(), by=actor_of(request))
        except UserError as error:
            form.add_error("file", error.message)
        else:
            return redirect("contacts:import_check", stored.public_id)
    return render(request, "contacts/import.html", {"form": form, "nav": "contacts"})


@require_http_methods(["GET", "POST"])
@never_cache
@varies_by_htmx
@role_required(Role.EDITOR)
def check(request: HttpRequest, import_id: str) -> HttpResponse:
    """Show the state of an import; POST takes its next step."""
    file = get_object_or_404(ContactImport, public_id=import_id)
    problem = ""
    if request.method == "POST":
        try:
            _step(request, file)
        except UserError as error:
            problem = error.message
        else:
            return redirect("contacts:import_check", file.public_id)
    context = _context(file, request.POST.getlist("column") if problem else [])
    context["problem"] = problem
    if wants_fragment(request):
        is_working = file.state in imports.WORKING
        status = 200 if is_working else STOP_POLLING
        return render(request, "contacts/_import_state.html", context, status=status)
    return render(request, "contacts/import_check.html", context)


def _step(request: HttpRequest, file: ContactImport) -> None:
    step = request.POST.get("step", "")
    if step == "check":
        imports.check(file=file, columns=request.POST.getlist("column"))
    elif step == "columns":
        imports.back_to_columns(file=file)
    elif step == "import":
        imports.start(file=file, by=actor_of(request))


def _context(file: ContactImport, sent: list[str]) -> dict[str, object]:
    columns = sent if len(sent) == len(file.header) else file.columns
    counts = {name: file.counts.get(name, 0) for name in ("new", "updated", "unchanged")}
    at_columns = file.state == ContactImport.State.COLUMNS
    rows = imports.first_rows(file) if at_columns else []
    return {
        "file": file,
        "targets": targets(ContactField.objects.all()),
        "columns": [
            (name, column, [row[at] for row in rows if row[at].strip()])
            for at, (name, column) in enumerate(zip(file.header, columns, strict=True))
        ],
        "counts": counts,
        "rejected": file.counts.get("rejected", 0),
        "to_import": counts["new"] + counts["updated"],
        "is_working": file.state in imports.WORKING,
        "has_moment": imports.moment_is_mapped(file),
        "nav": "contacts",
    }


@require_safe
@role_required(Role.EDITOR)
def rejected(request: HttpRequest, import_id: str) -> HttpResponseBase:
    """Stream the rejected rows, each with its problem."""
    file = get_object_or_404(ContactImport.objects.defer("text"), public_id=import_id)
    response = StreamingHttpResponse(
        imports.rejected_csv(file), content_type="text/csv; charset=utf-8"
    )
    response["Content-Disposition"] = 'attachment; filename="rejected-contacts.csv"'
    return response

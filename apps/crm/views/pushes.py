"""The pushes of a connection: requests and responses, approval, and sending again."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.contacts.values import ValueSpec, read, show
from apps.core.display import one_line
from apps.core.http import ToastKind, dialog_done, render_either, wants_fragment
from apps.core.pagination import CursorError, Page, page
from apps.crm import services
from apps.crm.connectors.registry import CONNECTORS
from apps.crm.forms import PushFilterForm
from apps.crm.models import CrmConnection, Push, PushState
from apps.crm.services import UnableToSend
from apps.crm.values import labels, specs

from .connections import CHANGED, connection_or_404

PER_PAGE = 50
APPROVALS = 100
_SELECTED = ("approve", "reject")
"""Actions on the selected changes only."""
_SWITCHES = (
    ("create_missing", "Creates missing contacts"),
    ("log_conversations", "Logs conversations"),
    ("approval", "Holds changes for approval"),
)


@require_safe
@role_required(Role.ADMIN)
def detail(request: HttpRequest, connection_id: str) -> HttpResponse:
    """Show a connection and its pushes, the newest first."""
    connection = connection_or_404(connection_id)
    form = PushFilterForm(request.GET)
    found, problem = _found(request, connection, form)
    parked = connection.pushes.filter(state__in=[PushState.PARKED, PushState.FAILED])
    names = labels()
    context = {
        "connection": connection,
        "needs_map": CONNECTORS[connection.kind].has_field_list and not connection.field_map,
        "mapped": [(names.get(n, n), target) for n, target in connection.field_map.items()],
        "switches": [text for switch, text in _SWITCHES if getattr(connection, switch)],
        "form": form,
        "contact": form.contact_or_none(),
        "page": found,
        "lines": [(one, [names.get(n, n) for n in one.wanted]) for one in found.items],
        "problem": problem,
        "waits": any(push.state == PushState.PENDING for push in found.items),
        "waiting": connection.pushes.filter(state=PushState.WAITING).count(),
        "parked": parked.count(),
    }
    return render_either(
        request, page="crm/pushes.html", fragment="crm/_pushes.html", context=context
    )


def _found(
    request: HttpRequest, connection: CrmConnection, form: PushFilterForm
) -> tuple[Page[Push], str]:
    if not form.is_valid():
        return Page([], None, None), " ".join(str(text) for e in form.errors.values() for text in e)
    rows = connection.pushes.select_related("contact").defer("request", "response")
    if state := form.cleaned_data["state"]:
        rows = rows.filter(state=state)
    if contact := form.cleaned_data["contact"]:
        rows = rows.filter(contact__public_id=contact)
    try:
        return page(rows, order=["-pk"], cursor=request.GET.get("cursor"), limit=PER_PAGE), ""
    except CursorError as error:
        return Page([], None, None), error.message


@require_safe
@role_required(Role.ADMIN)
def push(request: HttpRequest, connection_id: str, push_id: str) -> HttpResponse:
    """Show a push: the values, the request, and the response."""
    found = _push_or_404(connection_id, push_id)
    changes = _changes(found, labels(), specs())
    context = {"push": found, "connection": found.connection, "changes": changes}
    return render_either(request, page="crm/push.html", fragment="crm/_push.html", context=context)


def _changes(
    found: Push, names: Mapping[str, str], kinds: Mapping[str, ValueSpec]
) -> list[tuple[str, str | None, str | None]]:
    """Return label, value before, and wanted value of each field of a push."""

    def words(name: str, value: Any) -> str | None:
        if value is None:
            return None
        # A field of this name may have another type by now.
        stored = read(kinds[name], value).value if name in kinds else None
        return one_line(value) if stored is None else show(kinds[name], stored)

    return [
        (names.get(name, name), words(name, found.before.get(name)), words(name, value))
        for name, value in found.wanted.items()
    ]


@require_POST
@role_required(Role.ADMIN)
def again(request: HttpRequest, connection_id: str, push_id: str) -> HttpResponse:
    """Send a push again."""
    found = _push_or_404(connection_id, push_id)
    kind: ToastKind = "ok"
    text = "Push queued."
    try:
        services.send_again(push=found, by=actor_of(request))
    except UnableToSend as error:
        kind, text = "warn", error.message
    if wants_fragment(request):
        return dialog_done(text, CHANGED, kind=kind)
    messages.info(request, text)
    return redirect("crm:push", connection_id, push_id)


@require_POST
@role_required(Role.ADMIN)
def parked_again(request: HttpRequest, connection_id: str) -> HttpResponse:
    """Send all parked pushes again."""
    connection = connection_or_404(connection_id)
    kind: ToastKind = "ok"
    try:
        count = services.send_parked_again(connection=connection, by=actor_of(request))
        text = f"{count:,} {'push' if count == 1 else 'pushes'} queued."
    except UnableToSend as error:
        kind, text = "warn", error.message
    if wants_fragment(request):
        return dialog_done(text, CHANGED, kind=kind)
    messages.info(request, text)
    return redirect("crm:detail", connection_id)


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def approval(request: HttpRequest, connection_id: str) -> HttpResponse:
    """Show the changes that wait for approval, and approve or reject them as they were shown."""
    connection = connection_or_404(connection_id)
    if request.method == "POST":
        if request.POST.get("action") in _SELECTED and "push" not in request.POST:
            messages.warning(request, "Select at least one contact.")
        else:
            messages.success(request, _decide(request, connection))
        return redirect("crm:approval", connection_id)
    rows = connection.pushes.filter(state=PushState.WAITING).select_related("contact")
    try:
        found = page(rows, order=["pk"], cursor=request.GET.get("cursor"), limit=APPROVALS)
    except CursorError:
        return redirect("crm:approval", connection_id)
    names, kinds = labels(), specs()
    context = {
        "connection": connection,
        "page": found,
        "shown": [(one, _changes(one, names, kinds)) for one in found.items],
        "total": rows.count(),
        "as_of": timezone.now().isoformat(),
    }
    return render(request, "crm/approval.html", context)


def _decide(request: HttpRequest, connection: CrmConnection) -> str:
    """Approve or reject, and return a message with the number of contacts."""
    action = request.POST.get("action", "")
    revisions = {
        name: int(revision)
        for name, _, revision in (text.partition(":") for text in request.POST.getlist("shown"))
        if revision.isdecimal() and len(revision) < 10
    }
    chosen = None if action.endswith("_all") else request.POST.getlist("push")
    shown = services.Shown(revisions, chosen)
    if action.endswith("_every"):
        until = _moment(request.POST.get("as_of", ""))
        if until is None:
            return "Nothing was changed."
        shown = services.Shown(until=until)
    decide = services.reject if action.startswith("reject") else services.approve
    if not action.startswith(("reject", "approve")):
        return "Nothing was changed."
    count = decide(connection=connection, shown=shown, by=actor_of(request))
    word = "rejected" if decide is services.reject else "approved"
    return f"{count:,} {'contact' if count == 1 else 'contacts'} {word}."


def _moment(text: str) -> datetime | None:
    """Return the moment that the page was opened; None for anything else."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else None


def _push_or_404(connection_id: str, push_id: str) -> Push:
    rows = Push.objects.select_related("connection", "contact", "conversation")
    return get_object_or_404(rows, connection__public_id=connection_id, public_id=push_id)

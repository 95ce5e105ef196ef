"""The audit log: for admins."""

from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from django.views.decorators.http import require_safe

from apps.accounts.access import role_required
from apps.accounts.forms import AuditFilterForm
from apps.accounts.models import AuditEntry, Role
from apps.core.errors import UserError
from apps.core.http import render_either
from apps.core.pagination import Page, page

PER_PAGE = 50


@require_safe
@role_required(Role.ADMIN)
def entry_list(request: HttpRequest) -> HttpResponse:
    """Who did what, newest first. A filter that cannot be read shows nothing, and says so."""
    form = AuditFilterForm(request.GET)
    entries: Page[AuditEntry] = Page([], None, None)
    if form.is_valid():
        cursor = request.GET.get("cursor") or None
        rows = AuditEntry.objects.matching(**form.cleaned_data)
        try:
            entries = page(rows, order=["-at"], cursor=cursor, limit=PER_PAGE)
        except UserError as error:
            form.add_error(None, error.message)
    query = request.GET.copy()
    query.pop("cursor", None)
    context = {
        "form": form,
        "entries": entries.items,
        "query": query.urlencode(),
        "shown": f"{len(entries.items)} entries",
        "previous_url": _url(query, entries.previous_cursor),
        "next_url": _url(query, entries.next_cursor),
    }
    return render_either(
        request,
        page="accounts/audit_list.html",
        fragment="accounts/_audit_entries.html",
        context=context,
    )


def _url(query: QueryDict, cursor: str | None) -> str:
    """Return the same filters at another page; empty where there is none."""
    if cursor is None:
        return ""
    there = query.copy()
    there["cursor"] = cursor
    return f"{reverse('accounts:audit')}?{there.urlencode()}"

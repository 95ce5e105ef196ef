"""The page of one contact, and the history of each of its fields."""

from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_safe

from apps.accounts.access import role_required, user_of
from apps.accounts.models import Role
from apps.contacts.models import ContactField
from apps.core.http import render_dialog, render_either
from apps.core.pagination import CursorError
from apps.mappings.directory import profile

from .common import contact_or_404


@require_safe
@role_required(Role.VIEWER)
def detail(request: HttpRequest, contact_id: str) -> HttpResponse:
    """Show a contact: its fields with their sources, and its conversations."""
    contact = contact_or_404(contact_id)
    try:
        page = profile.conversations_of(contact, request.GET.get("cursor") or None)
    except CursorError:
        return HttpResponseRedirect(request.path)
    custom = list(ContactField.objects.all())
    counts = profile.counts_of(contact)
    query = urlencode({"contact": contact.public_id})
    context = {
        "contact": contact,
        "lines": profile.lines_of(contact, custom),
        "has_fields": bool(custom),
        "aliases": list(contact.aliases.all()),
        "pushes": profile.pushes_of(contact) if _is_admin(request) else [],
        "page": page,
        "columns": profile.columns(),
        "counts": counts,
        "total": counts["calls"] + counts["chats"],
        "calls_url": f"{reverse('conversations:calls')}?{query}",
        "chats_url": f"{reverse('conversations:chats')}?{query}",
        "nav": "contacts",
    }
    return render_either(
        request,
        page="contacts/contact.html",
        fragment="contacts/_contact.html",
        context=context,
    )


def _is_admin(request: HttpRequest) -> bool:
    """Return whether the pages of CRM connections are open to the user."""
    return user_of(request).effective_role.allows(Role.ADMIN)


@require_safe
@role_required(Role.VIEWER)
def history(request: HttpRequest, contact_id: str, field_name: str) -> HttpResponse:
    """Show everything contributed to one field of a contact."""
    contact = contact_or_404(contact_id)
    found = profile.spec_of(field_name, ContactField.objects.filter(name=field_name))
    if found is None:
        raise Http404("Contact field not found.")
    label, spec = found
    lines, total = profile.history_of(contact, field_name, spec)
    context = {
        "contact": contact,
        "label": label,
        "lines": lines,
        "total": total,
        "nav": "contacts",
    }
    return render_dialog(request, "contacts/history.html", context)

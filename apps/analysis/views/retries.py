"""Trying first analyses again that failed for the provider or the account, in one click."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_POST

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.analysis import pages
from apps.analysis.recovery import retry_first as retry
from apps.core.http import dialog_done, varies_by_htmx, wants_fragment

from .common import links_of


@require_POST
@role_required(Role.OPERATOR)
@varies_by_htmx
def retry_first(request: HttpRequest, conv_id: str) -> HttpResponse:
    """Retry all first analyses like this conversation's, and return to its page."""
    found = get_object_or_404(pages.CONVERSATIONS, public_id=conv_id)
    count = retry(by=actor_of(request))
    plural = "analysis" if count == 1 else "analyses"
    text = f"{count:,} {plural} queued again." if count else "Nothing to retry."
    if wants_fragment(request):
        return dialog_done(text, "analysis:changed")
    messages.success(request, text)
    return HttpResponseRedirect(links_of(request, found).analysis)

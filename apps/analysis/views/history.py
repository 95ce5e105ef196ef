"""Making an earlier result the current one again."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_http_methods

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.analysis import pages
from apps.analysis.effects import SideEffectsForm
from apps.analysis.imports import UnableToRestore
from apps.analysis.imports import restore as restore_result
from apps.analysis.models import Analysis
from apps.analysis.presentation import changes_between
from apps.conversations.models import Conversation
from apps.core.http import dialog_done, render_dialog, varies_by_htmx, wants_fragment

from .common import links_of

DONE = "Result restored."


@require_http_methods(["GET", "POST"])
@role_required(Role.OPERATOR)
@varies_by_htmx
def restore(request: HttpRequest, conv_id: str, an_id: str) -> HttpResponse:
    """Ask with the difference in sight; on POST restore it."""
    found = get_object_or_404(pages.CONVERSATIONS, public_id=conv_id)
    analysis = get_object_or_404(pages.analyses_of(found), public_id=an_id)
    links = links_of(request, found)
    if request.method != "POST":
        return _dialog(request, found, analysis, links)
    form = SideEffectsForm(request.POST)
    if not form.is_valid():
        return _dialog(request, found, analysis, links, form=form)
    try:
        restore_result(analysis=analysis, by=actor_of(request), side_effects=form.side_effects)
    except UnableToRestore as error:
        return _dialog(request, found, analysis, links, error=error.message)
    if wants_fragment(request):
        return dialog_done(DONE, "analysis:changed")
    messages.success(request, DONE)
    return HttpResponseRedirect(links.analysis)


def _dialog(
    request: HttpRequest,
    found: Conversation,
    analysis: Analysis,
    links: pages.Links,
    *,
    form: SideEffectsForm | None = None,
    error: str = "",
) -> HttpResponse:
    current = pages.analyses_of(found).filter(is_current=True).first()
    changes = changes_between(current, analysis) if current else []
    context = {
        "analysis": analysis,
        "title": pages.title_of(found),
        "by_whom": pages.by_whom(analysis),
        "links": links,
        "error": error,
        "form": form or SideEffectsForm(),
        "possible": analysis.state == "succeeded" and not analysis.is_current,
        "changed": [change for change in changes if change.changed],
        "nav": "calls" if found.channel == "voice" else "chats",
    }
    return render_dialog(request, "analysis/restore.html", context)

"""Rerun analysis: the dialog with the config and the price, and the start."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.analysis import pages
from apps.analysis.effects import SideEffectsForm
from apps.analysis.services import UnableToRerun, check_rerun, plan_rerun, request_rerun
from apps.conversations.models import Conversation
from apps.core.http import dialog_done, render_dialog, varies_by_htmx, wants_fragment
from apps.llm.caps import BudgetReached

from .common import links_of

CHANGED_MEANWHILE = (
    "The draft changed while this dialog was open. Review the update below and confirm again."
)


class RerunForm(SideEffectsForm):
    """What the rerun dialog showed, so that no one pays for another config than they saw."""

    config = forms.RegexField(r"^[0-9a-f]{64}$", required=False, widget=forms.HiddenInput)


@require_http_methods(["GET", "POST"])
@role_required(Role.OPERATOR)
@varies_by_htmx
def rerun(request: HttpRequest, conv_id: str) -> HttpResponse:
    """Say what a rerun would do; on POST start it, or show the dialog again with the reason."""
    found = get_object_or_404(pages.CONVERSATIONS, public_id=conv_id)
    if request.method != "POST":
        return _dialog(request, found)
    form = RerunForm(request.POST)
    plan = plan_rerun(found)
    form.is_valid()
    if form.errors.keys() & {"contacts", "webhooks"}:
        return _dialog(request, found, form=form)
    shown = form.cleaned_data.get("config", "unreadable")
    if shown and shown != plan.config.sha256:
        return _dialog(request, found, form=form, notice=CHANGED_MEANWHILE)
    try:
        analysis = request_rerun(
            conversation=found, by=actor_of(request), side_effects=form.side_effects
        )
    except (UnableToRerun, BudgetReached) as error:
        return _dialog(request, found, error=error.message)
    if wants_fragment(request):
        return dialog_done("", "analysis:changed")
    messages.success(request, "Rerun started.")
    return HttpResponseRedirect(links_of(request, found).to("conversation", run=analysis.public_id))


def _dialog(
    request: HttpRequest,
    found: Conversation,
    *,
    form: RerunForm | None = None,
    error: str = "",
    notice: str = "",
) -> HttpResponse:
    context = _compared(request, found)
    at_work = context["standing"].at_work is not None
    context |= {
        "refusal": error or check_rerun(found, at_work=at_work),
        "notice": notice,
        "form": form or RerunForm(),
    }
    return render_dialog(request, "analysis/rerun.html", context)


@require_safe
def changes(request: HttpRequest, conv_id: str) -> HttpResponse:
    """Show what the drafts have changed since the current result."""
    found = get_object_or_404(pages.CONVERSATIONS, public_id=conv_id)
    context = _compared(request, found) | {"can_rerun": pages.can_rerun(found)}
    return render_dialog(request, "analysis/changes.html", context)


def _compared(request: HttpRequest, found: Conversation) -> dict[str, Any]:
    """Return what both dialogs show: the drafts next to the current result."""
    standing = pages.status_of(found)
    return {
        "conversation": found,
        "links": links_of(request, found),
        "title": pages.title_of(found),
        "standing": standing,
        "proposal": pages.preview_rerun(found, standing.current),
        "nav": "calls" if found.channel == "voice" else "chats",
    }

"""What a run changed, and taking it back."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.agents.models import Channel
from apps.analysis.effects import SideEffectsForm
from apps.conversations.filters.editor import only_looks
from apps.core.display import ago
from apps.core.errors import UserError
from apps.core.http import render_dialog, render_either
from apps.runs.failures import failure_groups
from apps.runs.models import Run
from apps.runs.progress import progress_of
from apps.runs.report_page import accuracy_of, panels, tiers_used
from apps.runs.rollbacks.forms import RollbackQuestion, read_rollback
from apps.runs.rollbacks.services import check_rollback, start_rollback, token_for
from apps.runs.rollbacks.work import preview_rollback

from .backfills import respond_started


@require_safe
@never_cache
@role_required(Role.VIEWER)
def report(request: HttpRequest, public_id: str) -> HttpResponse:
    """What a run changed, field by field, as far as it is."""
    run = get_object_or_404(Run.objects.lasting(), public_id=public_id)
    progress = progress_of(run)
    context = {
        "run": run,
        "progress": progress,
        "accuracy": accuracy_of(run, progress) if progress.done else [],
        "panels": panels(run) if progress.done else [],
        "tiers": tiers_used(run),
        "failures": failure_groups(run) if progress.failed else [],
        "nav": "backfills",
    }
    return render_either(
        request, page="runs/report.html", fragment="runs/_report.html", context=context
    )


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.OPERATOR)
def rollback(request: HttpRequest, public_id: str) -> HttpResponse:
    """Show what a rollback would restore; on POST start it, or show the dialog with the reason."""
    run = get_object_or_404(Run.objects.lasting(), public_id=public_id)
    data = request.POST if request.method == "POST" else request.GET
    form = SideEffectsForm(data if request.method == "POST" else None)
    question = read_rollback(run, data)
    try:
        check_rollback(run)
    except UserError as error:
        return _dialog(request, question, form, refusal=error.message, closed=True)
    if "preview" in request.POST:
        context = {**_numbers(question), "question": question, "swaps": True}
        return render(request, "runs/_rollback_preview.html", context)
    if request.method != "POST" or only_looks(data):
        return _dialog(request, question, form)
    if question.selection is None or not form.is_valid():
        return _dialog(request, question, form, refusal="Can’t roll back. Fix the errors below.")
    token = request.POST.get("token", "")
    if not token:
        return _dialog(request, question, form, refusal="Review the numbers, then roll back.")
    began = timezone.now()
    try:
        started = start_rollback(
            selection=question.selection,
            by=actor_of(request),
            token=token,
            side_effects=form.side_effects,
        )
    except UserError as error:
        return _dialog(request, question, form, refusal=error.message)
    return _started(request, started, again=started.created_at < began)


def _started(request: HttpRequest, run: Run, *, again: bool) -> HttpResponse:
    text = "Rollback started."
    if again:
        text = (
            f"This rollback was already started {ago(run.created_at)}. No second one was started."
        )
    return respond_started(request, run, text)


def _numbers(question: RollbackQuestion) -> dict[str, Any]:
    """Return what a rollback would do, and the token that agrees to it."""
    preview = preview_rollback(question.selection) if question.selection else None
    return {
        "run": question.run,
        "preview": preview,
        "token": token_for(preview) if preview else "",
        "noun": Channel(question.run.channel).noun(preview.restore if preview else 0),
    }


def _dialog(
    request: HttpRequest,
    question: RollbackQuestion,
    form: SideEffectsForm,
    *,
    refusal: str = "",
    closed: bool = False,
) -> HttpResponse:
    """Show the dialog. ``closed``: the run can't be rolled back, so nothing is asked."""
    context = {
        "question": question,
        "channel": question.channel,
        "rows": question.rows(),
        "refusal": refusal,
        "closed": closed,
        "form": form,
        "nav": "backfills",
        "run": question.run,
        **({} if closed else _numbers(question)),
    }
    return render_dialog(request, "runs/rollback.html", context)

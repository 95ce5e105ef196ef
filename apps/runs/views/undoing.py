"""What a run changed, and taking it back."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.analysis.forms import SideEffectsForm
from apps.core.display import ago
from apps.core.errors import UserError
from apps.core.http import dialog_done, hx_trigger, render_dialog, render_either, wants_fragment
from apps.runs.failures import failure_groups
from apps.runs.models import Run
from apps.runs.presenters import filter_words, noun
from apps.runs.progress import progress_of
from apps.runs.report_page import accuracy_of, panels
from apps.runs.rollback import Selection, preview_rollback
from apps.runs.rollback_services import check_rollback, select, start_rollback, token_for

#: Fields of the dialog that are no filters.
_OWN = {"csrfmiddlewaretoken", "token", "contacts", "webhooks"}


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
    try:
        check_rollback(run)
        selection = select(run, {n: v for n, v in data.lists() if n not in _OWN})
    except UserError as error:
        return _dialog(request, run, None, form, refusal=error.message)
    if request.method != "POST" or not form.is_valid():
        return _dialog(request, run, selection, form)
    token = request.POST.get("token", "")
    if not token:
        return _dialog(request, run, selection, form, refusal="Review the numbers, then roll back.")
    began = timezone.now()
    try:
        started = start_rollback(
            selection=selection,
            by=actor_of(request),
            token=token,
            side_effects=form.side_effects,
        )
    except UserError as error:
        return _dialog(request, run, selection, form, refusal=error.message)
    return _started(request, started, again=started.created_at < began)


def _started(request: HttpRequest, run: Run, *, again: bool) -> HttpResponse:
    url = reverse("runs:detail", args=[run.public_id])
    text = f"Rollback of {run.total:,} {noun(run.channel, run.total)} started."
    if again:
        text = (
            f"This rollback was already started {ago(run.created_at)}. No second one was started."
        )
    if wants_fragment(request):
        response = dialog_done(text, href=url, action="Open")
        return hx_trigger(response, **{"backfills:changed": None})
    messages.success(request, text)
    return HttpResponseRedirect(url)


def _dialog(
    request: HttpRequest,
    run: Run,
    selection: Selection | None,
    form: SideEffectsForm,
    *,
    refusal: str = "",
) -> HttpResponse:
    preview = preview_rollback(selection) if selection else None
    stated = Run(pk=run.pk, channel=run.channel, filters=selection.filters() if selection else {})
    context = {
        "run": run,
        "refusal": refusal,
        "form": form,
        "preview": preview,
        "token": token_for(preview) if preview else "",
        "asked": filter_words([stated])[run.pk],
        "fields": [(n, v) for n, values in stated.filters.items() for v in values],
        "noun": noun(run.channel, preview.restore if preview else 0),
        "nav": "backfills",
    }
    return render_dialog(request, "runs/rollback.html", context)

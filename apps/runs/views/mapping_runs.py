"""Apply mappings to past analyses: counts, and the start."""

from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.agents.models import Channel
from apps.conversations.filters.editor import (
    FilterForm,
    channel_of,
    filters_in,
    only_looks,
    read_filters,
)
from apps.core.errors import UserError
from apps.core.http import render_dialog
from apps.runs.mappings.services import start_mapping_run
from apps.runs.mappings.work import estimate_summaries, preview_mappings

from .backfills import respond_started


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.EDITOR)
def apply_mappings(request: HttpRequest) -> HttpResponse:
    """Show how many conversations have a result to apply; on POST start the run."""
    if request.method != "POST":
        return _dialog(request, _question(request.GET))
    question = _question(request.POST)
    if "preview" in request.POST:
        context = {**_numbers(question), "question": question, "swaps": True}
        return render(request, "runs/_apply_preview.html", context)
    if only_looks(request.POST):
        return _dialog(request, question)
    if question.spec is None:
        return _dialog(request, question, "Can’t apply the mappings. Fix the errors below.")
    token = request.POST.get("token", "")
    if not token:
        return _dialog(request, question, "Review the numbers, then apply the mappings.")
    try:
        run = start_mapping_run(
            channel=question.channel,
            params=question.spec.as_params(),
            by=actor_of(request),
            token=token,
        )
    except UserError as error:
        return _dialog(request, question, error.message)
    text = f"Mapping run of {run.total:,} {Channel(run.channel).noun(run.total)} started."
    return respond_started(request, run, text)


def _question(data: QueryDict) -> FilterForm:
    """Read the dialog, or the address that opens it: with calls, where it names no channel."""
    channel = channel_of(data) if "channel" in data else Channel.VOICE
    given = filters_in(data, other={"preview"})
    return FilterForm(**read_filters(channel, given, data))


def _numbers(question: FilterForm) -> dict[str, Any]:
    """Return what a run would do, and what combining texts costs afterward."""
    if question.spec is None:
        return {"preview": None, "summaries": None}
    preview = preview_mappings(question.channel, question.spec.as_params())
    return {
        "preview": preview,
        "summaries": estimate_summaries(preview),
        "noun": Channel(question.channel).noun(preview.conversations),
    }


def _dialog(request: HttpRequest, question: FilterForm, refusal: str = "") -> HttpResponse:
    context = {
        "question": question,
        "channel": question.channel,
        "channels": [(one, one.noun().capitalize()) for one in Channel],
        "rows": question.rows(),
        "refusal": refusal,
        "nav": "contacts",
        **_numbers(question),
    }
    return render_dialog(request, "runs/apply_mappings.html", context)

"""Apply mappings to past analyses: counts, and the start."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.agents.models import Channel
from apps.core.errors import UserError
from apps.core.http import dialog_done, hx_trigger, render_dialog, wants_fragment
from apps.runs.batches import start_soon
from apps.runs.mapping_runs import estimate_summaries, preview_mappings, start_mapping_run
from apps.runs.presenters import noun

from .asking import channel_of


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.EDITOR)
def apply_mappings(request: HttpRequest) -> HttpResponse:
    """Show how many conversations of each channel have a result to apply; on POST start one."""
    if request.method != "POST":
        return _dialog(request)
    channel = channel_of(request.POST)
    token = request.POST.get("token", "")
    if not token:
        return _dialog(request, refusal="Review the numbers, then apply the mappings.")
    try:
        run = start_mapping_run(channel=channel, params={}, by=actor_of(request), token=token)
    except UserError as error:
        return _dialog(request, refusal=error.message)
    start_soon()
    url = reverse("runs:detail", args=[run.public_id])
    text = f"Mapping run of {run.total:,} {noun(channel, run.total)} started."
    if wants_fragment(request):
        response = dialog_done(text, href=url, action="Open")
        return hx_trigger(response, **{"backfills:changed": None})
    messages.success(request, text)
    return redirect(url)


def _dialog(request: HttpRequest, *, refusal: str = "") -> HttpResponse:
    previews = [preview_mappings(channel.value, {}) for channel in Channel]
    summaries = [estimate_summaries(one) for one in previews]
    nouns = [noun(one.channel, one.conversations) for one in previews]
    context = {
        "lines": list(zip(previews, nouns, summaries, strict=True)),
        "accumulates": any(one is not None for one in summaries),
        "refusal": refusal,
        "nav": "contacts",
    }
    return render_dialog(request, "runs/apply_mappings.html", context)

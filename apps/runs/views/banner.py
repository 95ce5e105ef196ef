"""The slim line on the history pages while a run is in progress."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.accounts.access import role_required
from apps.accounts.models import Role
from apps.core.display import pace
from apps.core.http import hx_trigger, stop_polling
from apps.runs.models import Run
from apps.runs.presenters import paused_because
from apps.runs.progress import progress_of

#: Named by a page that has seen a run at work: how that one ended is said once.
SEEN = "run"


@require_safe
@never_cache
@role_required(Role.VIEWER)
def banner(request: HttpRequest) -> HttpResponse:
    """The newest run that is active, or the end of the one that the page has watched.

    It polls only while a run is active; an event of a new run starts it again.
    """
    active = list(Run.objects.lasting().active())
    run = active[0] if active else _watched(request.GET.get(SEEN, ""))
    if run is None:
        return render(request, "runs/_banner.html", {"run": None})
    progress = progress_of(run)
    context = {
        "run": run,
        "progress": progress,
        "pace": pace(progress.rate),
        "because": paused_because(run),
        "others": len(active) - 1,
    }
    response = render(request, "runs/_banner.html", context)
    if active:
        return response
    return stop_polling(hx_trigger(response, **{"backfills:ended": None}))


def _watched(public_id: str) -> Run | None:
    return Run.objects.lasting().filter(public_id=public_id).first() if public_id else None

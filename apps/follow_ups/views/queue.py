"""The queue of follow-ups, and its count in the navigation."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.accounts.access import role_required, user_of
from apps.accounts.models import Role
from apps.core.http import render_either
from apps.core.pagination import CursorError, Page
from apps.follow_ups.forms import QueueForm
from apps.follow_ups.listing import VIEWS, Queue, counts_for
from apps.follow_ups.models import FollowUp


@require_safe
@role_required(Role.VIEWER)
def queue(request: HttpRequest) -> HttpResponse:
    """Show the follow-ups of a view, page by page."""
    form = QueueForm(request.GET)
    user = user_of(request)
    page: Page[FollowUp] = Page([], None, None)
    problem, view = "", ""
    if form.is_valid():
        view = form.cleaned_data["view"]
        try:
            page = Queue(user, **form.cleaned_data).page(request.GET.get("cursor"))
        except CursorError as error:
            problem = error.message
    else:
        problem = " ".join(str(text) for errors in form.errors.values() for text in errors)
    counts = counts_for(user, agent=form.cleaned_data.get("agent", ""))
    context = {
        "form": form,
        "page": page,
        "problem": problem,
        "view": view,
        "is_done": view == "done",
        "counts": counts,
        "views": [
            (name, label, getattr(counts, name or "open", None)) for name, label in VIEWS.items()
        ],
        "filtered": bool(view or form.cleaned_data.get("agent")),
        "anything": FollowUp.objects.exists() if not page.items else True,
    }
    return render_either(
        request,
        page="follow_ups/follow_up_list.html",
        fragment="follow_ups/_queue.html",
        context=context,
    )


@require_safe
@never_cache
@role_required(Role.VIEWER)
def count(request: HttpRequest) -> HttpResponse:
    """Show how many follow-ups wait for the reader: a fragment of the navigation."""
    return render(request, "follow_ups/_count.html", {"counts": counts_for(user_of(request))})

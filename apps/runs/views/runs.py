"""The list of runs, and the page of one: how far it is, what failed, each of its items."""

from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.accounts.access import role_required
from apps.accounts.models import Role
from apps.core.display import pace
from apps.core.http import hx_trigger, render_either, stop_polling, wants_fragment
from apps.core.pagination import CursorError, page
from apps.runs.budgets import balance_of
from apps.runs.failures import failed_again, failure_groups
from apps.runs.lanes import is_economy
from apps.runs.models import PauseReason, Run, Shipment
from apps.runs.presenters import (
    filter_words,
    item_page,
    item_tabs,
    items_beside,
    option_words,
    paused_because,
    run_lines,
    state_label,
    states_of,
    way_out,
)
from apps.runs.progress import Progress, progress_of
from apps.runs.recovery import models_left

PER_PAGE = 25
SHOWN_BATCHES = 20


@require_safe
@never_cache
@role_required(Role.VIEWER)
def run_list(request: HttpRequest) -> HttpResponse:
    """All runs, newest first. The table asks for itself again while one of them is active."""
    cursor = request.GET.get("cursor") or None
    try:
        found = page(Run.objects.lasting(), order=["-pk"], cursor=cursor, limit=PER_PAGE)
    except CursorError:
        return redirect("runs:list")
    lines = run_lines(found.items)
    context = {
        "lines": lines,
        "live": any(line.run.is_active for line in lines),
        "paid": not all(line.is_free for line in lines),
        "here": request.get_full_path(),
        "previous": found.previous_cursor,
        "next": found.next_cursor,
    }
    return render_either(
        request,
        page="runs/backfill_list.html",
        fragment="runs/_runs.html",
        context=context,
    )


@require_safe
@never_cache
@role_required(Role.VIEWER)
def detail(request: HttpRequest, public_id: str) -> HttpResponse:
    """Show one run. htmx gets only its items, which have their own filters and pages."""
    run = get_object_or_404(Run.objects.lasting(), public_id=public_id)
    progress = progress_of(run)
    items = item_page(run, request.GET)
    context: dict[str, Any] = {
        "run": run,
        "items": items,
        "tabs": item_tabs(run, progress, items),
        "origin": items.origin(run),
        "progress": progress,
    }
    if not wants_fragment(request):
        context |= _run_context(run, progress) | {
            "asked": filter_words([run])[run.pk],
            "options": option_words(run),
            "plan": [entry for entry in run.plan if entry["conversations"]]
            if run.asks_model
            else [],
        }
    return render_either(
        request,
        page="runs/backfill_detail.html",
        fragment="runs/_items.html",
        context=context,
    )


@require_safe
@role_required(Role.VIEWER)
def neighbors(request: HttpRequest, public_id: str, conversation_id: str) -> HttpResponse:
    """Show next and previous on the page of a conversation, under the filter of a run's items."""
    run = get_object_or_404(Run.objects.lasting(), public_id=public_id)
    if not wants_fragment(request):
        return redirect("runs:detail", public_id)
    origin = request.GET.urlencode()
    beside = items_beside(run, request.GET, conversation_id)
    previous, following = (
        one and f"{reverse('analysis:conversation', args=[one])}?{urlencode({'from': origin})}"
        for one in beside
    )
    context = {"neighbors": {"previous": previous, "next": following}}
    return render(request, "analysis/_neighbors.html", context)


@require_safe
@never_cache
@role_required(Role.VIEWER)
def progress(request: HttpRequest, public_id: str) -> HttpResponse:
    """Show the progress of a run, polled every second while it is active.

    ``seen`` is the state at the top of the page: if it has changed, the top is sent along.
    """
    run = get_object_or_404(Run.objects.lasting(), public_id=public_id)
    if not wants_fragment(request):
        return redirect("runs:detail", public_id)
    context = _run_context(run, progress_of(run))
    context["moved"] = request.GET.get("seen") != run.state
    response = render(request, "runs/_progress.html", context)
    if run.is_active:
        return response
    return stop_polling(hx_trigger(response, **{"backfills:ended": None}))


def _batches(run: Run) -> list[Shipment]:
    """Return the latest batches of a run in the economy lane, the newest first."""
    if not is_economy(run.options):
        return []
    return list(run.shipments.select_related("model")[:SHOWN_BATCHES])


def _run_context(run: Run, progress: Progress) -> dict[str, Any]:
    """What the part of the page shows that is drawn again and again."""
    cost = run.estimate.get("cost")
    expected = None if cost is None else Decimal(cost)
    failures = failure_groups(run) if progress.failed else []
    hopeful = sum(group.count for group in failures if not group.remedy)
    return {
        "run": run,
        "progress": progress,
        "pace": pace(progress.rate),
        "expected": expected,
        "state": state_label(run, progress.failed),
        "failures": failures,
        "hopeful": hopeful,
        "can_retry": hopeful and run.can_retry,
        "failed_again": failed_again(run) if failures else 0,
        "balance": balance_of(run),
        "batches": _batches(run),
        "retry_cost": expected * hopeful / run.total if expected and run.total else None,
        "because": paused_because(run),
        "way_out": way_out(run),
        "rejected_models": models_left(run) if run.reason == PauseReason.AUTH else [],
        "took": run.finished_at - run.started_at if run.finished_at and run.started_at else None,
        "links": {
            name: f"{reverse('runs:detail', args=[run.public_id])}?state={name}#items-section"
            for name in states_of(run)
            if getattr(progress, {"restored": "done", "left_alone": "skipped"}.get(name, name))
        },
    }

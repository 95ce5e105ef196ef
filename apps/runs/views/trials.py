"""One test run: its progress, its results next to the previous ones, and the next steps."""

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.agents.models import Channel
from apps.agents.pages import standing_of
from apps.agents.services import draft_of
from apps.agents.views.common import agent_or_404, page_context
from apps.analysis import pages
from apps.analysis.transcript import window as transcript_window
from apps.conversations.derived.definitions import derived_properties
from apps.core.http import hx_trigger, stop_polling, varies_by_htmx, wants_fragment
from apps.llm.caps import why_reached
from apps.runs import control
from apps.runs.models import ItemState, Run, RunItem, State
from apps.runs.progress import progress_of_items
from apps.runs.test_runs import comparison
from apps.runs.test_runs.evidence import evidence_of

from .try_it import backfill_url

#: Longest backfill query that is carried along; a longer one is dropped, not cut.
BACK_MAX = 4000


@require_safe
@role_required(Role.VIEWER)
def trial(request: HttpRequest, trial_id: str) -> HttpResponse:
    """Show a test run: of an agent among the agent's tabs, of a backfill on its own page."""
    found = _trial_or_404(trial_id)
    context = _context(request, found)
    context["compared"] = comparison.compared(context["items"], context["derived"])
    if found.agent is not None:
        context |= page_context(request, standing_of(found.agent), "try_it")
        return render(request, "trials/trial_of_agent.html", context)
    return render(request, "trials/trial.html", {**context, "nav": "backfills"})


@require_safe
@role_required(Role.VIEWER)
@varies_by_htmx
def progress(request: HttpRequest, trial_id: str) -> HttpResponse:
    """Show the progress, with the items finished since the last poll (``?shown=1.3``)."""
    found = _trial_or_404(trial_id)
    if not wants_fragment(request):
        return HttpResponseRedirect(_url(found))
    context = _context(request, found)
    shown = set(request.GET.get("shown", "").split("."))
    fresh = [i for i in context["items"] if i.is_final and str(i.position) not in shown]
    context |= {"compared": comparison.compared(fresh, context["derived"]), "swaps": True}
    response = render(request, "trials/_progress.html", context)
    return stop_polling(response) if context["progress"].is_over else response


@require_safe
@role_required(Role.VIEWER)
@varies_by_htmx
def evidence(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Show the last test run of an agent's draft to the person who is about to publish it."""
    agent = agent_or_404(agent_id)
    if not wants_fragment(request):
        return HttpResponseRedirect(reverse("runs:try_it", args=[agent_id]))
    draft = draft_of(agent)
    context = {"agent": agent, "draft": draft, "last": evidence_of(draft)}
    return render(request, "trials/_evidence.html", context)


@require_POST
@role_required(Role.OPERATOR)
def cancel(request: HttpRequest, trial_id: str) -> HttpResponse:
    """Ask for nothing more."""
    found = _trial_or_404(trial_id)
    try:
        control.cancel(run=found, by=actor_of(request))
        text = "Test run canceled."
    except control.UnableToChange:
        text = "This test run already finished."
    if wants_fragment(request):
        return hx_trigger(HttpResponse(status=204), **{"trial:changed": None})
    messages.success(request, text)
    return HttpResponseRedirect(_url(found))


@require_safe
@role_required(Role.VIEWER)
@varies_by_htmx
def transcript(request: HttpRequest, trial_id: str, position: int) -> HttpResponse:
    """Show the transcript of one conversation of a test run, as far as it fits on one page."""
    item = (
        _trial_or_404(trial_id)
        .items.select_related("conversation__contact")
        .filter(position=position)
        .first()
    )
    if item is None:
        raise Http404("This conversation isn’t part of this test run.")
    conversation = comparison.conversation_of(item)
    links = pages.Links(conversation.public_id)
    if not wants_fragment(request):
        return HttpResponseRedirect(links.analysis)
    scene = pages.scene_of(conversation, pages.transfers_of(conversation))
    window = transcript_window(pages.messages_of(conversation), scene)
    context = {"lines": window.lines, "left": window.left, "links": links}
    return render(request, "trials/_transcript.html", context)


def _waits(items: Sequence[RunItem]) -> str:
    """Return why a test run waits; empty where it runs or has ended."""
    states = {item.state for item in items}
    if ItemState.PENDING not in states or ItemState.RUNNING in states:
        return ""
    return why_reached({item.agent_version.agent.public_id for item in items})


def _context(request: HttpRequest, found: Run) -> dict[str, Any]:
    items = comparison.items_of(found)
    derived = derived_properties(channel=found.channel)
    ended = [item.finished_at for item in items if item.finished_at]
    back = request.GET.get("back", "").replace("\x00", "")
    back = back if len(back) <= BACK_MAX else ""
    if found.agent is not None and not back:
        back = f"agent={found.agent.public_id}"
    return {
        "trial": found,
        "items": items,
        "derived": derived,
        "progress": progress_of_items(found, items),
        "summaries": comparison.summaries(items, derived),
        "failures": comparison.failures(items),
        "shown": ".".join(str(item.position) for item in items if item.is_final),
        "drafts": _drafts(items),
        "waits": _waits(items),
        "is_free": found.is_free,
        "is_canceled": found.state in {State.CANCELLING, State.CANCELLED},
        "wall_seconds": (max(ended) - found.created_at).total_seconds() if ended else 0.0,
        "word": Channel(found.channel).noun(1),
        "back": backfill_url(found.channel, back),
        "back_query": back,
    }


def _drafts(items: list[Any]) -> list[str]:
    """The drafts that read, in words, each once."""
    return list(
        dict.fromkeys(f"{item.agent_version.agent.name} {item.agent_version}" for item in items)
    )


def _trial_or_404(trial_id: str) -> Run:
    found = Run.objects.trials().select_related("agent").filter(public_id=trial_id).first()
    if found is None:
        raise Http404("Test run not found. Test runs are deleted after 7 days.")
    return found


def _url(found: Run) -> str:
    return reverse("runs:trial", args=[found.public_id])

"""The page of one conversation: its facts, its transcript, and the panel next to it."""

from collections.abc import Sequence
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe
from django_htmx.http import reswap, retarget

from apps.analysis import pages, transcript
from apps.conversations.models import Conversation, Transfer
from apps.core import display
from apps.core.http import stop_polling, varies_by_htmx, wants_fragment

from .common import (
    ended_run,
    links_of,
    number_in,
    panel_context,
)
from .neighbors import neighbors_of


@require_safe
@varies_by_htmx
def conversation(request: HttpRequest, conv_id: str) -> HttpResponse:
    """Show the whole page; for htmx, one tab of the panel."""
    found = get_object_or_404(pages.CONVERSATIONS, public_id=conv_id)
    context = panel_context(request, found)
    if wants_fragment(request):
        return render(request, "analysis/_panel.html", context)
    transfers = pages.transfers_of(found)
    said = pages.messages_of(found)
    context |= {
        "nav": "calls" if found.channel == "voice" else "chats",
        "title": pages.title_of(found, said),
        "transfers": transfers,
        "disconnection": display.words(found.disconnection_reason),
        "neighbors": neighbors_of(found, context["links"]),
        **_transcript_context(request, found, transfers, said),
    }
    return render(request, "analysis/conversation.html", context)


@require_safe
@varies_by_htmx
def messages(request: HttpRequest, conv_id: str) -> HttpResponse:
    """Show a window of the transcript: further down, or around a match."""
    found = get_object_or_404(pages.CONVERSATIONS, public_id=conv_id)
    if not wants_fragment(request):
        page = pages.Links(found.public_id).analysis
        return HttpResponseRedirect(f"{page}?{request.GET.urlencode()}")
    said = pages.messages_of(found)
    context = _transcript_context(request, found, pages.transfers_of(found), said)
    context |= {"conversation": found, "links": links_of(request, found)}
    window: transcript.Window = context["window"]
    if "more" in request.GET:
        return render(request, "analysis/_lines.html", context)
    response = render(request, "analysis/_messages.html", context)
    if window.hits:
        response["HX-Reswap"] = f"outerHTML show:#{window.anchor}:top"
    return response


@require_safe
def message(request: HttpRequest, conv_id: str, index: int) -> HttpResponse:
    """Show a whole message as plain text, for those that are too long for the page."""
    stored = pages.messages_of(get_object_or_404(pages.CONVERSATIONS, public_id=conv_id))
    if index >= len(stored):
        raise Http404("Message not found.")
    return HttpResponse(
        transcript.whole_text(stored[index]), content_type="text/plain; charset=utf-8"
    )


@require_safe
@varies_by_htmx
def progress(request: HttpRequest, conv_id: str, an_id: str) -> HttpResponse:
    """Show the progress of a rerun; the last response shows old and new and ends polling."""
    found = get_object_or_404(pages.CONVERSATIONS, public_id=conv_id)
    run = get_object_or_404(pages.analyses_of(found), public_id=an_id)
    links = links_of(request, found)
    if not wants_fragment(request):
        return HttpResponseRedirect(links.to("conversation", run=run.public_id))
    if not run.is_final:
        template = "analysis/_waiting.html" if run.waits_for_provider else "analysis/_run.html"
        return render(request, template, {"run": run, "links": links})
    context = {**panel_context(request, found), "run": ended_run(run)}
    response = render(request, "analysis/_panel.html", context)
    return stop_polling(reswap(retarget(response, "#panel"), "outerHTML"))


def _transcript_context(
    request: HttpRequest,
    found: Conversation,
    transfers: Sequence[Transfer],
    said: Sequence[transcript.Message],
) -> dict[str, Any]:
    window = transcript.window(
        said,
        pages.scene_of(found, transfers),
        start=number_in(request.GET, "start"),
        find=request.GET.get("find", "").replace("\x00", ""),
        hit=number_in(request.GET, "hit"),
    )
    return {"window": window, "ways": _ways(links_of(request, found), window)}


def _ways(links: pages.Links, window: transcript.Window) -> dict[str, tuple[str, str]]:
    """Return where a window leads, each as a page and as a fragment."""

    def way(**params: object) -> tuple[str, str]:
        params = {"find": window.find, **params}
        return links.to("conversation", **params), links.to("messages", **params)

    ways = {}
    if len(window.hits) > 1:
        ways["previous"] = way(hit=window.previous_hit)
        ways["next"] = way(hit=window.next_hit)
    if window.start:
        ways["earlier"] = way(start=max(0, window.start - transcript.WINDOW_MESSAGES // 2))
    if window.left:
        ways["more"] = (
            links.to("conversation", start=window.stop, find=window.find),
            links.to("messages", start=window.stop, find=window.find, more=1),
        )
    return ways

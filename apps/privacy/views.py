"""Views that erase one conversation or a selection, and that preview a retention period."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.agents.models import Agent, AgentVersion, Channel
from apps.agents.schemas import MAX_RETENTION_DAYS
from apps.conversations.filters import FilterError, parse
from apps.conversations.models import Conversation, ConversationQuerySet
from apps.core.display import number
from apps.core.http import hx_redirect, render_dialog, varies_by_htmx
from apps.privacy.erasure import erase
from apps.privacy.footprint import footprint_of
from apps.privacy.forms import EraseForm
from apps.privacy.retention import outlived, retention_of

AT_ONCE = 2_000
"""Conversations that a page erases at most: it takes seconds, and the browser waits."""


@dataclass(frozen=True, slots=True)
class ErasureRequest:
    """Conversations to erase, and the page that the dialog was opened on."""

    conversations: ConversationQuerySet
    channel: str
    action: str
    back: str = ""
    query: str = ""

    @property
    def after(self) -> str:
        """Return the list that follows, with the same filters."""
        page = "conversations:calls" if self.channel == Channel.VOICE else "conversations:chats"
        return reverse(page) + (f"?{self.query}" if self.query else "")


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
@varies_by_htmx
def conversation(request: HttpRequest, conv_id: str) -> HttpResponse:
    """List everything that is deleted with one conversation; on POST erase it."""
    found: Conversation = get_object_or_404(Conversation, public_id=conv_id)
    asked = ErasureRequest(
        conversations=Conversation.objects.filter(pk=found.pk),
        channel=found.channel,
        action=reverse("erasing:conversation", args=[conv_id]),
        back=reverse("analysis:conversation", args=[conv_id]),
    )
    return _confirm(request, asked, why="on its page")


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
@varies_by_htmx
def selected(request: HttpRequest) -> HttpResponse:
    """Do the same for a selection on a history page: IDs, or all that match its filters."""
    params = request.GET.copy()
    channel = (params.pop("channel", [None]) or [None])[-1]
    for name in ("cursor", "columns"):
        params.pop(name, None)
    if channel not in Channel.values or not params:
        raise Http404("Select at least one conversation.")
    try:
        spec = parse(channel, params)
    except FilterError as error:
        return HttpResponse(error.message, status=error.status, content_type="text/plain")
    action = f"{reverse('erasing:selected')}?{request.GET.urlencode()}"
    listed = "" if "id" in params else params.urlencode()
    asked = ErasureRequest(spec.queryset(), str(channel), action, query=listed)
    return _confirm(request, asked, why="selected on the history page")


def _confirm(request: HttpRequest, asked: ErasureRequest, *, why: str) -> HttpResponse:
    """Render the dialog; on POST with a valid confirmation, erase."""
    traces = footprint_of(asked.conversations)
    if not traces.conversations:
        raise Http404("No conversations to erase.")
    data: QueryDict | None = request.POST if request.method == "POST" else None
    form = EraseForm(data, shown=traces.conversations)
    too_many = traces.conversations > AT_ONCE
    if not too_many and form.is_valid():
        gone = erase(conversations=asked.conversations, by=actor_of(request), why=why)
        messages.success(request, f"{number(gone)} {Channel(asked.channel).noun(gone)} erased.")
        return hx_redirect(request, asked.after)
    context: dict[str, Any] = {
        "asked": asked,
        "back": asked.back or asked.after,
        "traces": traces,
        "form": form,
        "too_many": too_many,
        "at_once": AT_ONCE,
        "word": Channel(asked.channel).noun(traces.conversations),
        "nav": Channel(asked.channel).noun(),
    }
    return render_dialog(request, "privacy/erase.html", context)


@require_safe
@role_required(Role.VIEWER)
def retention(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Show how many conversations a retention period would erase today."""
    agent: Agent = get_object_or_404(Agent, public_id=agent_id)
    typed = request.GET.get("retention_days", "").strip()
    days = int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 6 else None
    known = days is not None and 1 <= days <= MAX_RETENTION_DAYS
    rows = outlived(agent_id=agent.pk, days=days, now=timezone.now()) if days and known else None
    context = {
        "agent": agent,
        "days": days if known else None,
        "typed": typed,
        "now": retention_of(agent),
        "published": AgentVersion.objects.published().filter(agent=agent).exists(),
        "older": None if rows is None else rows.count(),
    }
    return render(request, "privacy/_retention.html", context)

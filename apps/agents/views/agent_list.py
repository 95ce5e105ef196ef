"""The list of agents, and making one."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.agents import services
from apps.agents.forms import AgentForm
from apps.agents.models import Agent
from apps.agents.pages import conversation_counts, standings
from apps.core.errors import UserError
from apps.core.http import hx_redirect, render_dialog
from apps.llm.services import default_model

from .common import agent_or_404, conversations_url, url_of


@require_safe
@role_required(Role.VIEWER)
def agent_list(request: HttpRequest) -> HttpResponse:
    """Show every agent and where its draft is."""
    agents = list(Agent.objects.in_page_order())
    counts = conversation_counts(agents)
    rows = [
        {
            "standing": standing,
            "conversations": counts[standing.agent.pk],
            "conversations_url": conversations_url(standing.agent),
        }
        for standing in standings(agents)
    ]
    return render(request, "agents/agent_list.html", {"rows": rows, "nav": "agents"})


@require_safe
@role_required(Role.VIEWER)
def agent_detail(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Show the agent's first tab."""
    return redirect(url_of("prompts", agent_or_404(agent_id)))


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def agent_new(request: HttpRequest) -> HttpResponse:
    """Make an agent, and go to its prompts."""
    form = AgentForm(request.POST or None, initial={"model": default_model()})
    if form.is_valid():
        try:
            agent = services.create_agent(**_asked(form), by=actor_of(request))
        except UserError as error:
            add_refusal(form, error)
        else:
            messages.success(request, f"{agent.name} created.")
            tab = "fields" if form.cleaned_data["start"] else "prompts"
            return hx_redirect(request, url_of(tab, agent))
    context = {"form": form, "nav": "agents"}
    return render_dialog(request, "agents/agent_new.html", context)


def _asked(form: AgentForm) -> dict[str, Any]:
    """Return what to create, with what the chosen start names. Raises NotFound."""
    key = form.cleaned_data["start"]
    return {**form.cleaned_data, "start": services.source_of(key) if key else None}


def add_refusal(form: forms.Form, error: UserError) -> None:
    """Show a rejection of a service at its field, or above the form."""
    for name, text in error.fields.items():
        form.add_error(name if name in form.fields else None, text)
    if not error.fields:
        form.add_error(None, error.message)

"""Rename, deactivate, and reactivate an agent."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.agents import services
from apps.agents.forms import RenameForm
from apps.core.errors import UserError
from apps.core.http import hx_redirect, render_dialog

from .agent_list import add_refusal
from .common import agent_or_404, url_of


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def rename(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Give the agent another name."""
    agent = agent_or_404(agent_id)
    form = RenameForm(request.POST or None, initial={"name": agent.name})
    if form.is_valid():
        try:
            services.rename_agent(agent=agent, name=form.cleaned_data["name"], by=actor_of(request))
        except UserError as error:
            add_refusal(form, error)
        else:
            return hx_redirect(request, url_of("prompts", agent))
    context = {"agent": agent, "form": form, "nav": "agents"}
    return render_dialog(request, "agents/rename.html", context)


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def deactivate(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Ask, then take the agent out of use."""
    agent = agent_or_404(agent_id)
    if request.method == "POST":
        services.deactivate(agent=agent, by=actor_of(request))
        messages.success(request, f"{agent.name} deactivated.")
        return hx_redirect(request, url_of("prompts", agent))
    context = {"agent": agent, "nav": "agents"}
    return render_dialog(request, "agents/deactivate.html", context)


@require_POST
@role_required(Role.EDITOR)
def reactivate(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Put the agent back into use."""
    agent = services.reactivate(agent=agent_or_404(agent_id), by=actor_of(request))
    messages.success(request, f"{agent.name} reactivated.")
    return hx_redirect(request, url_of("prompts", agent))

"""Helpers of every page of an agent: the agent, the status of its draft, the tabs."""

from typing import Any

from django.http import Http404, HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from apps.agents.costs import waiting_for
from apps.agents.models import Agent
from apps.agents.pages import DraftStatus
from apps.agents.templates import TEMPLATES

TABS = (
    ("prompts", "Prompts"),
    ("fields", "Fields"),
    ("post_analysis", "Advanced"),
    ("versions", "Versions"),
)


def agent_or_404(agent_id: str) -> Agent:
    """Return the agent of a public id."""
    agent: Agent | None = Agent.objects.filter(public_id=agent_id).first()
    if agent is None:
        raise Http404(f"There is no agent {agent_id}.")
    return agent


def page_context(request: HttpRequest, standing: DraftStatus, tab: str) -> dict[str, Any]:
    """Return the context of an agent's page."""
    agent = standing.agent
    may = getattr(request.user, "effective_role", None)
    return {
        "agent": agent,
        "standing": standing,
        "draft": standing.draft,
        "tab": tab,
        "tabs": _tabs(agent),
        "editable": bool(may and may.rank >= 2) and agent.deactivated_at is None,
        "backfill_url": backfill_url(agent),
        "conversations_url": conversations_url(agent),
        "nav": "agents",
        "templates": TEMPLATES,
        "waiting": waiting_for(standing.draft) if agent.unconfigured else None,
    }


def _tabs(agent: Agent) -> list[dict[str, str]]:
    """Return the agent's tabs, with the one of the runs app before the last."""
    tabs = [{"name": name, "title": title, "url": url_of(name, agent)} for name, title in TABS]
    above = reverse("runs:try_it", args=[agent.public_id])
    return [*tabs[:-1], {"name": "try_it", "title": "Test", "url": above}, tabs[-1]]


def url_of(name: str, agent: Agent) -> str:
    return reverse(f"agents:{name}", args=[agent.public_id])


def backfill_url(agent: Agent) -> str:
    """Return where past conversations are backfilled with this agent's draft."""
    return _with_query("runs:new", channel=agent.channel, agent=agent.public_id)


def conversations_url(agent: Agent) -> str:
    """Return the history page, filtered to this agent."""
    return _with_query(f"conversations:{agent.sessions_word}", agent=agent.public_id)


def _with_query(name: str, **query: str) -> str:
    return f"{reverse(name)}?{urlencode(query)}"

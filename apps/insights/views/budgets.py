"""Pages of spending caps: their spending, and changing them."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.forms import add_refusal
from apps.accounts.models import Role
from apps.accounts.responses import done, posted
from apps.agents.models import Agent
from apps.alerts.models import CapNotice
from apps.alerts.spending import check_caps
from apps.analysis import spending_caps
from apps.analysis.spending_caps import Gauge
from apps.core.http import render_dialog, render_either, varies_by_htmx
from apps.insights.cap_forms import AgentCapsForm, CapsForm, shown
from apps.llm.caps import Caps, CapsChanged, Period, PriceUnknown, current_caps

PAGE = "insights:budgets"
NOTICES_SHOWN = 10


@require_safe
@role_required(Role.VIEWER)
@varies_by_htmx
def budgets(request: HttpRequest) -> HttpResponse:
    """Show the caps with the amounts spent, reserved, and left, and when they reset."""
    installation, *agents = spending_caps.budgets()
    notices = list(CapNotice.objects.all()[:NOTICES_SHOWN])
    ids = {one.agent_id for one in agents} | {one.agent_id for one in notices}
    named = {agent.public_id: agent for agent in Agent.objects.filter(public_id__in=ids)}
    context: dict[str, Any] = {
        "installation": installation,
        "agents": [(one, named.get(one.agent_id)) for one in agents],
        "notices": [(one, named.get(one.agent_id)) for one in notices],
        "has_caps": bool(agents) or any(gauge.cap for gauge in installation.gauges),
        "zone": timezone.get_current_timezone_name(),
        "nav": "costs",
    }
    return render_either(
        request, page="insights/budgets.html", fragment="insights/_budgets.html", context=context
    )


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def edit(request: HttpRequest) -> HttpResponse:
    """Change the caps of the installation."""
    return _edit(request, None)


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def edit_agent(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Change the caps of one agent."""
    return _edit(request, get_object_or_404(Agent, public_id=agent_id))


def _edit(request: HttpRequest, agent: Agent | None) -> HttpResponse:
    agent_id = agent.public_id if agent else ""
    now = current_caps().get(agent_id, Caps())
    form = CapsForm.of(posted(request), now)
    if form.is_valid() and (response := _save(request, form, agent)):
        return response
    return _form(request, form, agent)


@require_http_methods(["GET", "POST"])
@role_required(Role.ADMIN)
def new(request: HttpRequest) -> HttpResponse:
    """Cap the spending of an agent."""
    form = AgentCapsForm(posted(request))
    agent: Agent | None = None
    if form.is_valid():
        agent = form.cleaned_data["agent"]
        if response := _save(request, form, agent):
            return response
    return _form(request, form, agent, is_new=True)


def _save(request: HttpRequest, form: CapsForm, agent: Agent | None) -> HttpResponse | None:
    """Save valid caps; None where the form has to be shown again."""
    agent_id = agent.public_id if agent else ""
    if not form.is_confirmed and _reached_at_once(form.caps, agent_id):
        form.data = {**_texts(form), "confirmed": form.caps_text}
        return None
    try:
        spending_caps.change(
            agent_id,
            form.caps,
            by=actor_of(request),
            site_url=request.build_absolute_uri("/"),
            seen=form.seen,
        )
    except PriceUnknown as error:
        form.add_error(None, "A cap needs the price of each model in use.")
        form.unpriced = error.models
        return None
    except CapsChanged as error:
        # The next save is one that has seen the other person's caps.
        seen = shown(current_caps().get(agent_id, Caps()))
        form.data = {**_texts(form), **{k: v for k, v in seen.items() if k.startswith("seen")}}
        add_refusal(form, error)
        return None
    check_caps(timezone.now())
    return done(request, PAGE, _said(form.caps, agent))


def _said(caps: Caps, agent: Agent | None) -> str:
    verb = "removed" if caps == Caps() else "saved"
    return f"Caps of {agent.name} {verb}." if agent else f"Caps {verb}."


def _form(
    request: HttpRequest, form: CapsForm, agent: Agent | None, *, is_new: bool = False
) -> HttpResponse:
    agent_id = agent.public_id if agent else ""
    warned = form.is_bound and not form.errors and form.data.get("confirmed") == form.caps_text
    context = {
        "form": form,
        "agent": agent,
        "is_new": is_new,
        "budget": None if is_new and agent is None else spending_caps.budget_of(agent_id),
        "reached": _reached_at_once(form.caps, agent_id) if warned else [],
        "zone": timezone.get_current_timezone_name(),
        "nav": "costs",
    }
    return render_dialog(request, "insights/budget_form.html", context)


def _texts(form: CapsForm) -> dict[str, Any]:
    return {name: form.data.get(name, "") for name in form.fields}


def _reached_at_once(caps: Caps, agent_id: str) -> list[Gauge]:
    """Return the periods whose spending has reached a wanted cap that is a new one."""
    now = current_caps().get(agent_id, Caps())
    budget = spending_caps.budget_of(agent_id)
    wanted = {Period.DAY: (caps.day, now.day), Period.MONTH: (caps.month, now.month)}
    return [
        gauge
        for gauge in budget.gauges
        for limit, before in [wanted[gauge.period]]
        if limit is not None and limit != before and gauge.spent >= limit
    ]

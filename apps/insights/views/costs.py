"""Pages of costs."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.accounts.access import role_required
from apps.accounts.models import Role
from apps.agents.models import Agent
from apps.core.http import render_either, varies_by_htmx
from apps.insights.costs import conversations_of, costs_of
from apps.insights.export import csv_lines
from apps.insights.periods import DAYS, BadPeriod, Period, last_days, read_period
from apps.insights.savings import savings_of

DEAREST = 8
"""How many agents a comparison offers; any other agent has one next to its own settings."""


@require_safe
@role_required(Role.VIEWER)
@varies_by_htmx
def costs(request: HttpRequest) -> HttpResponse:
    """Show what requests cost in a period, by agent, day, trigger and model."""
    period, problem = _period(request)
    found = costs_of(period, now=timezone.now())
    context: dict[str, Any] = {
        "costs": found,
        "period": period,
        "problem": problem,
        "periods": [last_days(days, timezone.localdate()) for days in DAYS],
        "agents": [line.agent for line in found.agents if line.agent][:DEAREST],
        "nav": "costs",
    }
    return render_either(
        request, page="insights/costs.html", fragment="insights/_costs.html", context=context
    )


@require_safe
@role_required(Role.VIEWER)
def costs_csv(request: HttpRequest) -> HttpResponseBase:
    """Show the same numbers for a spreadsheet."""
    try:
        period = read_period(request.GET, today=timezone.localdate())
    except BadPeriod as error:
        return HttpResponse(error.message, status=error.status, content_type="text/plain")
    lines = csv_lines(costs_of(period, now=timezone.now()))
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    name = f"costs-{period.first}-{period.last}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@require_safe
@role_required(Role.VIEWER)
@varies_by_htmx
def conversations(request: HttpRequest) -> HttpResponse:
    """Show how many conversations the period's analyses were of: counting them takes a moment."""
    period, problem = _period(request)
    spent = costs_of(period, now=timezone.now()).analyses
    how_many = conversations_of(period)
    context = {
        "how_many": how_many,
        "each": spent.cost / how_many if how_many and not spent.unpriced else None,
        "period": period,
        "problem": problem,
        "nav": "costs",
    }
    return render_either(
        request,
        page="insights/conversations.html",
        fragment="insights/_conversations.html",
        context=context,
    )


@require_safe
@role_required(Role.VIEWER)
@varies_by_htmx
def savings(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Show what sampling and minimum lengths would have saved of an agent's last 30 days."""
    agent: Agent = get_object_or_404(Agent, public_id=agent_id)
    context = {"savings": savings_of(agent, now=timezone.now()), "agent": agent, "nav": "costs"}
    return render_either(
        request, page="insights/savings.html", fragment="insights/_savings.html", context=context
    )


def _period(request: HttpRequest) -> tuple[Period, str]:
    """Return the period of the address, or the usual one with the reason why not."""
    today = timezone.localdate()
    try:
        return read_period(request.GET, today=today), ""
    except BadPeriod as error:
        return read_period({}, today=today), error.message

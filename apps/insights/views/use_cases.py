"""The ready views of insights: customer success, sales pipeline, quality."""

from dataclasses import replace
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.http import require_safe

from apps.accounts.access import role_required
from apps.accounts.models import Role
from apps.agents.models import Agent
from apps.core.http import render_either
from apps.insights.tile_pages import tile_id
from apps.insights.use_case_pages import (
    USE_CASES,
    Panel,
    UseCase,
    best_channel,
    panel_of,
    panel_title,
)

from .common import SLOT, Asked, Choice, frame_of, read_asked, redirect_of_form
from .dashboard import Placed


@require_safe
@role_required(Role.VIEWER)
def customer_success(request: HttpRequest) -> HttpResponse:
    """Show resolution, sentiment, issues, and follow-ups."""
    return _view(request, USE_CASES["customer_success"])


@require_safe
@role_required(Role.VIEWER)
def sales(request: HttpRequest) -> HttpResponse:
    """Show leads, budgets, and next steps."""
    return _view(request, USE_CASES["sales"])


@require_safe
@role_required(Role.VIEWER)
def quality(request: HttpRequest) -> HttpResponse:
    """Show scores, failed checks, compliance issues, and the worst conversations."""
    return _view(request, USE_CASES["quality"])


@require_safe
@role_required(Role.VIEWER)
def panel(request: HttpRequest, view: str, name: str) -> HttpResponse:
    """Show one panel of a ready view."""
    if view not in USE_CASES or name not in USE_CASES[view].panels:
        raise Http404("Unknown panel.")
    asked = read_asked(request, _channel(request, USE_CASES[view]))
    context = frame_of(request, asked) | _of_view(USE_CASES[view])
    template = "insights/tiles/_problem.html"
    if asked.scope is not None:
        found = panel_of(USE_CASES[view], name, asked.scope, asked.slots)
        template = found.template
        context |= _of_panel(asked, found)
    context["template"] = template
    return render_either(request, page="insights/panel.html", fragment=template, context=context)


def _view(request: HttpRequest, view: UseCase) -> HttpResponse:
    if redirect := redirect_of_form(request):
        return redirect
    asked = read_asked(request, _channel(request, view))
    context = frame_of(request, asked) | _of_view(view)
    if asked.scope is not None:
        context["slots"] = [_slot(request, view, asked, name) for name in view.panels]
    return render_either(
        request,
        page="insights/use_case.html",
        fragment="insights/_use_case.html",
        context=context,
    )


def _channel(request: HttpRequest, view: UseCase) -> str:
    """Return the channel where the address names neither a channel nor an agent."""
    if request.GET.get("channel") or request.GET.get("agent"):
        return ""
    return best_channel(view)


def _slot(request: HttpRequest, view: UseCase, asked: Asked, name: str) -> Placed:
    url = f"{reverse('insights:panel', args=[view.key, name])}?{_query(asked)}"
    placed = Placed(tile_id(name), panel_title(view, name), url)
    if not asked.is_whole or asked.scope is None:
        return placed
    found = panel_of(view, name, asked.scope, asked.slots)
    context = _of_view(view) | _of_panel(asked, found)
    return replace(placed, html=render_to_string(found.template, context, request))


def _query(asked: Asked) -> str:
    return asked.with_params(channel=asked.channel, whole="")


def _of_view(view: UseCase) -> dict[str, Any]:
    return {"view": view, "view_url": reverse(f"insights:{view.key}")}


def _of_panel(asked: Asked, found: Panel) -> dict[str, Any]:
    """Return the context of a panel: the fields to choose, and where to add one."""
    filled = found.filled
    current = filled.field.name if filled and filled.field else ""
    choices = filled.choices if filled else ()
    return {
        "panel": found,
        "field_choices": [
            Choice(
                one.label,
                asked.with_params(
                    **{
                        f"{SLOT}{filled.slot.name}": one.name,
                        "channel": asked.channel,
                        "whole": "",
                    }
                ),
                one.name == current,
            )
            for one in choices
            if filled
        ],
        "add_url": _add_url(asked),
    }


def _add_url(asked: Asked) -> str:
    """Return the page that starts an agent's fields from a template, of one named or only agent."""
    named = asked.scope.agents if asked.scope else []
    agents = Agent.objects.filter(channel=asked.channel)
    if named:
        agents = agents.filter(public_id__in=named)
    agent = agents.order_by("name").values_list("public_id", flat=True).first()
    return reverse("agents:start", args=[agent]) if agent else ""

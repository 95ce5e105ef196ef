"""Spending caps of the installation and of agents."""

from django.http import HttpRequest, HttpResponse
from ninja import Router

from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.agents.models import Agent
from apps.analysis import spending_caps
from apps.core.errors import UserError

from . import lists
from .endpoints import read, respond, write
from .openapi import Answer, operation
from .schemas import budgets as schemas

router = Router(tags=["Budgets"])


class UnknownAgent(UserError):
    """Raised for an ID that no agent has."""

    code = "unknown_agent"


@router.get(
    "",
    **operation(
        "getBudgets",
        "Get spending caps",
        answers={200: Answer(schemas.Budgets, "The caps and the spending.")},
        refuses=["bad_request"],
    ),
)
def get(request: HttpRequest) -> HttpResponse:
    """Caps per day and month, for all work and for single agents. Days and months are those of
    `TIME_ZONE`."""
    lists.only(request)
    return respond(schemas.Budgets.from_budgets(spending_caps.budgets()))


@router.put(
    "",
    **operation(
        "setBudgets",
        "Set spending caps",
        takes=schemas.BudgetsIn,
        answers={200: Answer(schemas.Budgets, "The new caps.")},
        refuses=["price_unknown", "unknown_agent"],
    ),
)
@write(Role.ADMIN)
def put(request: HttpRequest) -> HttpResponse:
    """Replaces all caps. At a reached cap, first analyses wait, backfills pause, and reruns and
    test runs are rejected (409 `budget_reached`), until the cap is raised or its period ends. Each
    model in use needs a price (422 `price_unknown`)."""
    body = read(schemas.BudgetsIn, request)
    known = set(Agent.objects.filter(public_id__in=body.agents).values_list("public_id", flat=True))
    if unknown := sorted(set(body.agents) - known):
        message = f"Unknown agent “{unknown[0]}”."
        raise UnknownAgent(message, {f"agents.{unknown[0]}": message})
    wanted = {"": body.caps(), **{agent: one.caps() for agent, one in body.agents.items()}}
    site = request.build_absolute_uri("/")
    spending_caps.replace(wanted, by=actor_of(request), site_url=site)
    return respond(schemas.Budgets.from_budgets(spending_caps.budgets()))

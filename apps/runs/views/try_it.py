"""Request a test run: the tab *Test* of an agent, and the dialog that a backfill opens."""

from typing import Any
from urllib.parse import urlencode

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.agents.models import Agent, Channel
from apps.agents.pages import standing_of
from apps.agents.views.common import agent_or_404, page_context
from apps.conversations.filters.editor import channel_of, only_looks
from apps.core.errors import UserError
from apps.core.http import hx_redirect, render_dialog, varies_by_htmx
from apps.llm.caps import unpriced_of
from apps.runs.models import Run
from apps.runs.test_runs import services
from apps.runs.test_runs.forms import TrialQuestion, read_question

#: Trials that an agent's page lists: those of the last days are all there are.
LISTED = 20


@require_http_methods(["GET", "POST"])
@role_required(Role.VIEWER)
def try_it(request: HttpRequest, agent_id: str) -> HttpResponseBase:
    """Show the tab: the conversations to test the draft on, the cost, and recent test runs."""
    agent = agent_or_404(agent_id)
    if request.method == "POST":
        return _of_agent(request, agent)
    return _tab(request, agent, read_question(agent.channel, request.GET, agent=agent))


@require_http_methods(["GET", "POST"])
@role_required(Role.OPERATOR)
@varies_by_htmx
def trial_new(request: HttpRequest) -> HttpResponse:
    """The drafts that a backfill would use, on a few of its conversations first."""
    data = request.POST if request.method == "POST" else request.GET
    question = read_question(channel_of(data), data, agent=None)
    if request.method != "POST" or only_looks(data):
        return _dialog(request, question)
    try:
        trial = _start(request, question)
    except UserError as error:
        return _dialog(request, question, refused=error)
    return hx_redirect(request, f"{_trial_url(trial)}?{urlencode({'back': question.query})}")


@require_POST
@role_required(Role.OPERATOR)
def preview(request: HttpRequest) -> HttpResponse:
    """What would be read and for how much, while the form is edited. Nothing is written."""
    agent = agent_or_404(request.POST["of"]) if request.POST.get("of") else None
    question = read_question(channel_of(request.POST), request.POST, agent=agent)
    return render(request, "trials/_preview.html", {**_figures(question), "swaps": True})


@role_required(Role.OPERATOR)
def _of_agent(request: HttpRequest, agent: Agent) -> HttpResponse:
    question = read_question(agent.channel, request.POST, agent=agent)
    if only_looks(request.POST):
        return _tab(request, agent, question)
    try:
        trial = _start(request, question)
    except UserError as error:
        return _tab(request, agent, question, refused=error)
    return hx_redirect(request, _trial_url(trial))


def _start(request: HttpRequest, question: TrialQuestion) -> Run:
    return services.start(
        channel=question.channel,
        agent=question.agent,
        token=request.POST.get("token", ""),
        asked=question.hash,
        by=actor_of(request),
    )


def _tab(
    request: HttpRequest,
    agent: Agent,
    question: TrialQuestion,
    *,
    refused: UserError | None = None,
) -> HttpResponse:
    trials = agent.trials.annotate(conversations=Count("items"))[:LISTED]
    context = {
        **page_context(request, standing_of(agent), "try_it"),
        **_figures(question),
        "rows": question.rows(),
        **_refusal(refused),
        "trials": trials,
        "action": reverse("runs:try_it", args=[agent.public_id]),
    }
    return render(request, "trials/try_it.html", context)


def _refusal(error: UserError | None) -> dict[str, Any]:
    """Return why a test run isn't started, with the models whose prices are missing."""
    return {"refusal": error.message, "unpriced": unpriced_of(error)} if error else {}


def _dialog(
    request: HttpRequest, question: TrialQuestion, *, refused: UserError | None = None
) -> HttpResponse:
    context = {
        **_figures(question),
        "rows": question.rows(),
        **_refusal(refused),
        "action": reverse("runs:trial_new"),
        "back": backfill_url(question.channel, question.query),
        "nav": "backfills",
    }
    return render_dialog(request, "trials/trial_new.html", context)


def _figures(question: TrialQuestion) -> dict[str, Any]:
    """Return the numbers next to the button, and the token that the button sends."""
    choice = question.choice()
    token = services.token_for(choice, asked=question.hash) if choice and choice.taken else ""
    return {
        "question": question,
        "channel": question.channel,
        "word": Channel(question.channel).noun(1),
        "choice": choice,
        "token": token,
    }


def backfill_url(channel: str, query: str) -> str:
    """Return the URL of the backfill form with these filters; empty without that page."""
    try:
        url = reverse("runs:new")
    except NoReverseMatch:
        return ""
    return f"{url}?channel={channel}&{query}".rstrip("&")


def _trial_url(trial: Run) -> str:
    return reverse("runs:trial", args=[trial.public_id])

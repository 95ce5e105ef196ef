"""The panel next to the editors: problems, cost per conversation, and suggestions."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from apps.accounts.access import role_required
from apps.accounts.models import Role
from apps.agents.changes import merge
from apps.agents.content import Content, content_of
from apps.agents.costs import costs, shares, typical_transcript
from apps.agents.derived_names import derived_names
from apps.agents.forms import FieldsInput, fields_input, prompts_changes
from apps.agents.lint import MAX_HINTS, Suggestion, lint
from apps.agents.models import Agent, AgentVersion
from apps.agents.services import draft_of
from apps.llm.models import LanguageModel
from apps.llm.schema import Problem
from apps.llm.schema.json_text import locate

from .common import agent_or_404, url_of


@dataclass(frozen=True, slots=True)
class Shown:
    """A hint, and where it is in the text of the raw editor."""

    hint: Suggestion
    at: Problem | None


@require_POST
@role_required(Role.VIEWER)
def advice_on_fields(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Advice on the fields as they are typed. Writes nothing."""
    draft = draft_of(agent_or_404(agent_id))
    sent = fields_input(request.POST)
    context = {**fields_advice(draft, sent), "agent": draft.agent, "tab": "fields"}
    return render(request, "agents/_advice.html", context | {"editable": True})


@require_POST
@role_required(Role.VIEWER)
def advice_on_prompts(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Show what the prompts, as they are typed, add to each conversation, and advice on them."""
    draft = draft_of(agent_or_404(agent_id))
    typed = prompts_changes(request.POST, draft.agent.channel)
    content, faults = merge(content_of(draft), {"analysis": typed["analysis"]})
    model = LanguageModel.objects.filter(name=content.editor["model"]).first()
    if faults or model is None:
        return HttpResponse(status=204)
    # A column may name a field that another tab removed: that is for the save to refuse.
    with_columns, column_faults = merge(content, {"columns": typed["columns"]})
    content = content if column_faults else with_columns
    context = {
        "shares": shares(content, model),
        "advice": advice(content, model, draft.agent, tab="prompts"),
        "agent": draft.agent,
        "tab": "prompts",
        "editable": True,
        "oob": True,
    }
    return render(request, "agents/_prompts_advice.html", context)


def fields_advice(draft: AgentVersion, sent: FieldsInput) -> dict[str, Any]:
    """Return the advice on fields as they were sent, or what keeps them from being saved."""
    saved = content_of(draft)
    content, faults = saved, list(sent.faults)
    if not faults:
        changes = {"analysis": {"schema": sent.schema}}
        content, faults = merge(saved, changes, derived=derived_names())
    if faults:
        return {"blocked": faults}
    text = sent.text if sent.mode == "json" else ""
    return {"advice": advice(content, draft.config.model, draft.agent, tab="fields", text=text)}


def advice(
    content: Content, model: LanguageModel, agent: Agent, *, tab: str, text: str = ""
) -> dict[str, Any]:
    """Return the context of the panel on one of the two tabs.

    ``text`` is the schema as the raw editor shows it, in which hints then have their lines.
    """
    everything = lint(content)
    here = [hint for hint in everything if _is_on(tab, hint)]
    shown = here[:MAX_HINTS]
    places = _places(text, shown) if text else {}
    items = [Shown(hint, places.get(hint.pointer)) for hint in shown]
    by_title = sorted(items, key=lambda item: _first(shown, item.hint))
    groups = groupby(by_title, key=lambda item: item.hint.title)
    other = "prompts" if tab == "fields" else "fields"
    return {
        "costs": costs(content, model, typical_transcript(agent)),
        "model": model,
        "groups": [{"title": title, "items": list(found)} for title, found in groups],
        "count": len(here),
        "more": len(here) - len(shown),
        "elsewhere": len([h for h in everything if not _is_on(tab, h)]),
        "elsewhere_url": url_of(other, agent),
        "elsewhere_tab": other.title(),
        "prompts_url": url_of("prompts", agent),
    }


def _is_on(tab: str, hint: Suggestion) -> bool:
    if hint.built_in:
        return True
    return (hint.place == "analysis.schema") == (tab == "fields")


def _first(hints: Sequence[Suggestion], hint: Suggestion) -> int:
    """Suggestions of a kind are shown together, at the place of the first."""
    return next(index for index, other in enumerate(hints) if other.title == hint.title)


def _places(text: str, hints: Sequence[Suggestion]) -> dict[str, Problem]:
    problems = [Problem(hint.pointer, hint.message) for hint in hints if hint.pointer]
    return {problem.pointer: problem for problem in locate(text, problems)}

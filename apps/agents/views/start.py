"""Preview and start a draft from a template or from another agent's fields."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.agents import services
from apps.agents.changes import merge
from apps.agents.content import content_of
from apps.agents.derived_names import derived_names
from apps.agents.diffs import diff_contents
from apps.agents.draft_start import plan_start
from apps.agents.forms import StartForm, start_choices
from apps.agents.models import Agent, ConfigSave
from apps.agents.pages import DraftStatus, standing_of
from apps.agents.templates import TEMPLATES
from apps.core.errors import UserError
from apps.core.http import hx_redirect, render_dialog, varies_by_htmx, wants_fragment

from .common import agent_or_404, page_context, url_of
from .save import stamp_in


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
@varies_by_htmx
def start(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Choose a start and see its changes; then apply them.

    ``?plan=1`` returns the changes alone.
    """
    agent = agent_or_404(agent_id)
    refusal = ""
    if request.method == "POST":
        try:
            return _apply(request, agent)
        except UserError as error:
            refusal = error.message
    context = {**_plan_context(request, standing_of(agent)), "refusal": refusal}
    if wants_fragment(request) and "plan" in request.GET:
        return render(request, "agents/_start_plan.html", context)
    return render_dialog(request, "agents/start.html", context)


def _apply(request: HttpRequest, agent: Agent) -> HttpResponse:
    if "as_it_is" in request.POST:  # the default prompts will do: a save that changes nothing
        services.save_draft(agent=agent, changes={}, by=actor_of(request))
        messages.success(request, f"{agent.name} now uses the default prompts.")
        return hx_redirect(request, url_of("prompts", agent))
    form = StartForm(request.POST)
    if not form.is_valid():
        raise UserError(str(next(iter(form.errors.values()))[0]))
    asked = form.cleaned_data
    result = services.start_from(
        agent=agent,
        source=services.source_of(asked["source"]),
        how="replace" if asked["how"] == "replace" else "merge",
        with_prompt=asked["prompt"],
        by=actor_of(request),
        expected=stamp_in(request),
    )
    if result.save is None:
        messages.info(request, "No changes: the draft already matches this template.")
        return hx_redirect(request, url_of("fields", agent))
    return hx_redirect(
        request, f"{url_of('fields', agent)}?{urlencode({'started': result.save.pk})}"
    )


def _plan_context(request: HttpRequest, standing: DraftStatus) -> dict[str, Any]:
    asked = request.POST or request.GET
    key = asked.get("source") or TEMPLATES[0].key
    how = "replace" if asked.get("how") == "replace" else "merge"
    # A template's prompt belongs to its fields; another agent's speaks of that agent.
    with_prompt = "prompt" in asked if "how" in asked else not key.startswith("agt_")
    content = content_of(standing.draft)
    context: dict[str, Any] = {
        **page_context(request, standing, "fields"),
        "choices": start_choices(),
        "chosen": key,
        "how": how,
        "with_prompt": with_prompt,
        "has_fields": bool(content.document().own_fields()),
    }
    try:
        source = services.source_of(key)
    except UserError as error:
        return context | {"faults": [error.message]}
    if not any(key == known for _, options in context["choices"] for known, _ in options):
        context["choices"].append(("Agent", [(source.key, source.title)]))
    plan = plan_start(content, source, how="replace" if how == "replace" else "merge",
                      with_prompt=with_prompt)  # fmt: skip
    after, faults = merge(content, plan.changes, derived=derived_names())
    diff = diff_contents(content, after)
    return context | {"start": plan, "diff": diff, "faults": faults, "source": source}


def started(request: HttpRequest, standing: DraftStatus) -> dict[str, Any] | None:
    """The save that the page was led to by a start, with what its *Undo* restores; None where
    someone has saved since."""
    number = request.GET.get("started", "")
    if not number.isdecimal() or len(number) > 18:
        return None
    save = ConfigSave.objects.filter(agent_version=standing.draft).order_by("-pk").first()
    if save is None or str(save.pk) != number:
        return None
    before = services.save_before(save)
    return {"save": save, "before": before} if before else None

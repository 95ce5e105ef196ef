"""An agent's history: versions and saves, what differs between two, restoring, publishing."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.access import role_required
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.agents import services
from apps.agents.diffs import diff_contents
from apps.agents.forms import PublishForm
from apps.agents.models import Agent, ConfigSave
from apps.agents.pages import DiffSide, moments, side_of, standing_of
from apps.core.errors import UserError
from apps.core.http import hx_redirect, render_dialog, varies_by_htmx
from apps.core.pagination import page

from .agent_list import add_refusal
from .common import agent_or_404, page_context, url_of
from .save import stamp_in

PER_PAGE = 50


@require_safe
@role_required(Role.VIEWER)
@varies_by_htmx
def versions(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Show every publication and every save, newest first; two of them side by side."""
    agent = agent_or_404(agent_id)
    standing = standing_of(agent)
    saves = ConfigSave.objects.filter(agent_version__agent=agent).select_related("agent_version")
    context = page_context(request, standing, "versions")
    try:
        shown = page(saves, order=["-pk"], cursor=request.GET.get("cursor"), limit=PER_PAGE)
    except UserError as error:
        messages.error(request, error.message)
        shown = page(saves, order=["-pk"], limit=PER_PAGE)
    published = request.GET.get("published", "")
    latest = standing.latest
    context |= {
        "moments": moments(agent, standing.draft, list(shown.items)),
        "saves": shown,
        "just_published": latest if latest and str(latest.number) == published else None,
    }
    return render(request, "agents/versions.html", context)


@require_safe
@role_required(Role.VIEWER)
def compare(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Show what differs between two states: ``?from=v3&to=draft``."""
    agent = agent_or_404(agent_id)
    context = {"agent": agent, "nav": "agents", "versions_url": url_of("versions", agent)}
    try:
        before = side_of(agent, request.GET.get("from", ""))
        after = side_of(agent, request.GET.get("to", "draft"))
    except UserError as error:
        context["refusal"] = error.message
    else:
        context |= _difference(before, after)
    return render_dialog(request, "agents/compare.html", context)


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def restore(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Ask with the difference, then restore the draft: ``?state=s12``."""
    agent = agent_or_404(agent_id)
    key = request.POST.get("state") or request.GET.get("state", "")
    context = {"agent": agent, "nav": "agents", "versions_url": url_of("versions", agent)}
    try:
        side = side_of(agent, key)
        if request.method == "POST":
            try:
                return _restore(request, agent, key)
            except services.DraftConflict as conflict:  # asked again, with the difference as it is
                context["conflict"] = conflict
        difference = _difference(side_of(agent, "draft"), side)
    except UserError as error:
        context["refusal"] = error.message
    else:
        context |= {**difference, "state": key, "draft": services.draft_of(agent)}
    return render_dialog(request, "agents/restore.html", context)


@require_http_methods(["GET", "POST"])
@role_required(Role.EDITOR)
def publish(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Show the changes, ask for title and note, then freeze the draft."""
    agent = agent_or_404(agent_id)
    standing = standing_of(agent)
    stamp = {"version": standing.draft.number, "save_count": standing.draft.save_count}
    form = PublishForm(request.POST or None, initial=stamp)
    if form.is_valid():
        try:
            return _publish(request, agent, form)
        except UserError as error:
            # The newest state is shown below, and what the next click will publish.
            form = PublishForm(data={**form.cleaned_data, **stamp})
            add_refusal(form, error)
    context = page_context(request, standing, "versions") | {"form": form}
    return render_dialog(request, "agents/publish.html", context)


def _publish(request: HttpRequest, agent: Agent, form: PublishForm) -> HttpResponse:
    values = form.cleaned_data
    published = services.publish(
        agent=agent,
        title=values["title"],
        note=values["note"],
        by=actor_of(request),
        expected_version=values["version"],
        expected_save_count=values["save_count"],
    )
    query = urlencode({"published": published.number})
    return hx_redirect(request, f"{url_of('versions', agent)}?{query}")


def _restore(request: HttpRequest, agent: Agent, key: str) -> HttpResponse:
    number = int(key[1:]) if key[1:].isdecimal() else None
    result = services.restore_save(
        agent=agent,
        save_id=number if key[:1] == "s" else None,
        version=number if key[:1] == "v" else None,
        by=actor_of(request),
        expected=stamp_in(request),
    )
    said = (
        "Draft restored."
        if result.changed
        else "No changes: the draft already matches that version."
    )
    messages.success(request, said)
    return hx_redirect(request, url_of("versions", agent))


def _difference(before: DiffSide, after: DiffSide) -> dict[str, object]:
    return {
        "before": before,
        "after": after,
        "diff": diff_contents(before.content, after.content),
    }

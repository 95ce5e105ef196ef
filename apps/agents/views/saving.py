"""Saving a tab: one way for all of them, with htmx and without.

With htmx the editor stays untouched, so that nobody loses the place or the words they typed
meanwhile; the answer is parts that htmx puts beside it (out of band): the line on top, the
faults, the stamp of the state that is now the newest.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django_htmx.http import reswap, retarget, trigger_client_event

from apps.accounts.actors import actor_of
from apps.agents import services
from apps.agents.builtins import categories
from apps.agents.changes import COLUMN_NAMES, Fault, only_mine
from apps.agents.contents import Content, Json, content_of
from apps.agents.forms import StampForm
from apps.agents.models import Agent, AgentVersion
from apps.agents.pages import Standing, standing_of
from apps.core.errors import UserError
from apps.core.http import wants_fragment

from .common import page_context, url_of

#: Renders a whole tab again for a browser without script: request, standing, what was typed.
Page = Callable[[HttpRequest, Standing, "Outcome"], HttpResponse]


@dataclass(frozen=True)
class Outcome:
    """What became of a save, for the page: what was typed, what is wrong with it."""

    typed: Json = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    conflict: services.DraftConflict | None = None
    refusal: str = ""
    saved: bool = False
    unchanged: bool = False
    dirty: bool = False
    stamp: dict[str, int] = field(default_factory=dict)


def places(tab: str, channel: str) -> list[str]:
    """The places of a tab at which faults are shown; any other fault stands above the button."""
    if tab == "fields":
        return ["analysis.schema"]
    if tab == "post_analysis":
        names = ("sample_percent", "min_seconds", "min_messages", "chat_idle_seconds")
        return [
            f"post_analysis.{name}"
            for name in (*names, "long_transcript", "enabled", "retention_days")
        ]
    prompts = [f"analysis.built_ins.{c.name}.prompt" for c in categories(channel)]
    columns = [f"columns.{name}" for name in COLUMN_NAMES]
    return ["analysis.instructions", "analysis.model", *prompts, *columns]


def slots_of(known: Iterable[str], faults: Iterable[Fault]) -> dict[str, list[Fault]]:
    """The faults by their place on the page; ``""`` takes those that have none there."""
    slots: dict[str, list[Fault]] = {place: [] for place in (*known, "")}
    for fault in faults:
        slots[fault.place if fault.place in slots else ""].append(fault)
    return slots


def stamp_of(draft: AgentVersion) -> dict[str, int]:
    """The stamp of a page that is filled from this draft as it is now."""
    return {
        "version": draft.number,
        "save_count": draft.save_count,
        "base_version": draft.number,
        "base": draft.save_count,
    }


def save_tab(
    request: HttpRequest, agent: Agent, tab: str, changes: Json, page: Page
) -> HttpResponse:
    """Save what a tab sent, and answer for htmx or with the whole page."""
    outcome = _save(request, agent, changes)
    standing = standing_of(Agent.objects.get(pk=agent.pk))
    if wants_fragment(request):
        return _fragment(request, standing, tab, outcome)
    if outcome.saved or outcome.unchanged:
        messages.success(request, "Saved." if outcome.saved else "Nothing had changed.")
        return HttpResponseRedirect(url_of(tab, agent))
    return page(request, standing, outcome)


def refuse(
    request: HttpRequest, agent: Agent, tab: str, outcome: Outcome, page: Page
) -> HttpResponse:
    """Answer with faults that were found before anything could be saved."""
    standing = standing_of(agent)
    if wants_fragment(request):
        return _fragment(request, standing, tab, outcome)
    return page(request, standing, outcome)


def _save(request: HttpRequest, agent: Agent, changes: Json) -> Outcome:
    form = StampForm(request.POST)
    if not form.is_valid():
        return Outcome(changes, refusal="This page is too old to be saved. Reload it.")
    stamp: dict[str, int] = form.cleaned_data
    draft = services.draft_of(agent)
    base = _base(agent, stamp)
    mine = only_mine(changes, base.as_draft()) if base else changes
    try:
        result = services.save_draft(
            agent=agent, changes=mine, by=actor_of(request), expected_save_count=_seen(draft, stamp)
        )
    except services.InvalidDraft as error:
        return Outcome(changes, tuple(error.faults), stamp=stamp)
    except services.DraftConflict as conflict:
        newest = {"version": draft.number, "save_count": conflict.save_count}
        return Outcome(changes, conflict=conflict, stamp={**stamp, **newest})
    except UserError as error:
        return Outcome(changes, refusal=error.message, stamp=stamp)
    new = stamp_of(result.version)
    return Outcome(saved=result.changed, unchanged=not result.changed, stamp=new)


def _base(agent: Agent, stamp: dict[str, int]) -> Content | None:
    """What the page was filled from, by its stamp."""
    version = AgentVersion.objects.filter(agent=agent, number=stamp["base_version"]).first()
    if version is None:
        return None
    version.agent = agent
    return services.base_content(version, stamp["base"])


def _seen(draft: AgentVersion, stamp: dict[str, int]) -> int:
    """The save of the present draft that the page's author has seen; 0 where it is none.

    A draft that was published meanwhile goes on as a copy: who had seen its last save has seen
    the first one of the copy.
    """
    if stamp["version"] == draft.number:
        return stamp["save_count"]
    before = AgentVersion.objects.filter(agent=draft.agent, number=draft.number - 1).first()
    if before is None or stamp["version"] != before.number:
        return 0
    before.agent = draft.agent
    unseen = stamp["save_count"] != before.save_count
    return 0 if unseen or not content_of(before).same_as(content_of(draft)) else draft.save_count


def _fragment(request: HttpRequest, standing: Standing, tab: str, outcome: Outcome) -> HttpResponse:
    context: dict[str, Any] = {
        **page_context(request, standing, tab),
        "outcome": outcome,
        "slots": slots_of(places(tab, standing.agent.channel), outcome.faults),
        "stamp": outcome.stamp,
        "content": content_of(standing.draft).as_draft(),
    }
    if outcome.conflict:
        response = render(request, "agents/_conflict.html", context)
        return reswap(retarget(response, "#dialog"), "innerHTML")
    response = render(request, "agents/_answer.html", context)
    event = "draft:saved" if outcome.saved or outcome.unchanged else "draft:refused"
    return trigger_client_event(response, event, after="settle")  # when the parts are in place

"""Save a tab of the editors, with htmx and without.

A form is filled from a document and carries that document's stamp. The two always change
together, so that the server knows the author's edits (decision 0029). If the draft equals the form,
htmx gets the new stamp and the editor's surroundings, and the editor stays untouched. Otherwise
(another editor's text is in the draft, or a prompt went back to its default), the response is the
whole form.
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
from apps.agents.changes import COLUMN_NAMES, Fault
from apps.agents.content import Content, Json, content_of
from apps.agents.diffs import Diff
from apps.agents.documents import categories
from apps.agents.edit_merge import only_mine
from apps.agents.forms import StampForm
from apps.agents.models import Agent
from apps.agents.pages import DraftStatus, standing_of
from apps.core.errors import UserError
from apps.core.http import wants_fragment

from .common import page_context, url_of

#: Renders a whole tab again for a browser without script: request, standing, what was typed.
Page = Callable[[HttpRequest, DraftStatus, "SaveOutcome"], HttpResponse]


@dataclass(frozen=True)
class SaveOutcome:
    """The outcome of a save, for the page: the form and its problems.

    The form shows `content`, with its `stamp`, instead of the typed values. `theirs` has the
    changes by others in it.
    """

    typed: Json = field(default_factory=dict)
    content: Content | None = None
    theirs: Diff | None = None
    faults: tuple[Fault, ...] = ()
    conflict: services.DraftConflict | None = None
    refusal: str = ""
    saved: bool = False
    unchanged: bool = False
    dirty: bool = False
    stamp: services.Stamp | None = None


def places(tab: str, channel: str) -> list[str]:
    """The places of a tab at which faults are shown; any other fault is shown above the button."""
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
    """Return the faults by their place on the page; ``""`` takes those that have none there."""
    slots: dict[str, list[Fault]] = {place: [] for place in (*known, "")}
    for fault in faults:
        slots[fault.place if fault.place in slots else ""].append(fault)
    return slots


def stamp_in(request: HttpRequest) -> services.Stamp | None:
    """Return the stamp of the page that was sent; None where it is broken."""
    stamp = StampForm(request.POST).stamp
    return services.Stamp(*stamp) if stamp else None


def save_tab(request: HttpRequest, agent: Agent, tab: str, form: Json, page: Page) -> HttpResponse:
    """Save a submitted tab, and respond for htmx or with the whole page.

    With ``merge`` nothing is saved: the form comes back over what others saved in the meantime.
    """
    merges = wants_fragment(request) and "merge" in request.POST
    outcome = _tried(_merge if merges else _save, request, agent, form)
    standing = standing_of(Agent.objects.get(pk=agent.pk))
    if wants_fragment(request):
        if outcome.content:
            return _with_event(page(request, standing, outcome), outcome)
        return _fragment(request, standing, tab, outcome)
    if outcome.saved or outcome.unchanged:
        messages.success(request, "Saved." if outcome.saved else "No changes to save.")
        return HttpResponseRedirect(url_of(tab, agent))
    return page(request, standing, outcome)


def refuse(
    request: HttpRequest, agent: Agent, tab: str, outcome: SaveOutcome, page: Page
) -> HttpResponse:
    """Show faults that were found before anything could be saved."""
    standing = standing_of(agent)
    if wants_fragment(request):
        return _fragment(request, standing, tab, outcome)
    return page(request, standing, outcome)


#: Saves or merges a form, given with its stamp.
Step = Callable[[HttpRequest, Agent, Json, services.Stamp], SaveOutcome]


def _tried(step: Step, request: HttpRequest, agent: Agent, form: Json) -> SaveOutcome:
    stamp = stamp_in(request)
    if stamp is None:
        return SaveOutcome(form, refusal="This page is out of date. Reload it and try again.")
    try:
        return step(request, agent, form, stamp)
    except services.InvalidDraft as error:
        return SaveOutcome(form, faults=tuple(error.faults), stamp=stamp)
    except services.DraftConflict as conflict:
        if wants_fragment(request):
            return SaveOutcome(form, conflict=conflict, stamp=stamp)
        return SaveOutcome(
            content=conflict.merged, theirs=conflict.theirs, conflict=conflict,
            dirty=True, stamp=conflict.stamp,
        )  # fmt: skip
    except UserError as error:
        return SaveOutcome(form, refusal=error.message, stamp=stamp)


def _save(request: HttpRequest, agent: Agent, form: Json, stamp: services.Stamp) -> SaveOutcome:
    result = services.save_form(agent=agent, form=form, stamp=stamp, by=actor_of(request))
    draft = result.version
    content = content_of(draft)
    return SaveOutcome(
        content=content if only_mine(form, content.as_draft()) else None,
        theirs=result.theirs,
        saved=result.changed,
        unchanged=not result.changed,
        stamp=services.Stamp(draft.number, draft.save_count),
    )


def _merge(request: HttpRequest, agent: Agent, form: Json, stamp: services.Stamp) -> SaveOutcome:
    merged = services.merge_form(agent=agent, form=form, stamp=stamp, by=actor_of(request))
    return SaveOutcome(content=merged.content, theirs=merged.theirs, dirty=True, stamp=merged.stamp)


def _fragment(
    request: HttpRequest, standing: DraftStatus, tab: str, outcome: SaveOutcome
) -> HttpResponse:
    context: dict[str, Any] = {
        **page_context(request, standing, tab),
        "outcome": outcome,
        "slots": slots_of(places(tab, standing.agent.channel), outcome.faults),
        "stamp": outcome.stamp,
    }
    if outcome.conflict:
        context["here"] = url_of(tab, standing.agent)
        response = render(request, "agents/_conflict.html", context)
        return reswap(retarget(response, "#dialog"), "innerHTML")
    response = reswap(render(request, "agents/_answer.html", context), "none")
    return _with_event(response, outcome)


def _with_event(response: HttpResponse, outcome: SaveOutcome) -> HttpResponse:
    """Report the outcome of the save, and the place of a whole form, to the page's script."""
    if outcome.content:
        response = reswap(retarget(response, "form[data-draft]"), "outerHTML")
    if outcome.dirty:
        return response
    event = "draft:saved" if outcome.saved or outcome.unchanged else "draft:refused"
    return trigger_client_event(response, event, after="settle")  # when the parts are in place

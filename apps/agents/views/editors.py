"""The three tabs in which a draft is edited: Prompts, Fields, Post analysis."""

import json
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from apps.accounts.access import role_required
from apps.accounts.models import Role
from apps.agents import services
from apps.agents.builder import NotShowable, rows_of
from apps.agents.changes import merge, read_schema
from apps.agents.content import Content, Json, content_of, plain_number
from apps.agents.costs import Costs, cost_with, shares
from apps.agents.derived_names import derived_names
from apps.agents.documents import categories
from apps.agents.edit_merge import same_schema
from apps.agents.forms import (
    FieldsInput,
    fields_input,
    model_label,
    post_analysis_changes,
    pretty,
    prompts_changes,
)
from apps.agents.lint import lint
from apps.agents.models import Agent
from apps.agents.pages import DraftStatus, standing_of
from apps.agents.widgets import builder_widget
from apps.core.http import varies_by_htmx, wants_fragment
from apps.llm.connections import missing_key
from apps.llm.models import LanguageModel
from apps.llm.typical_cost import ASSUMED_TRANSCRIPT

from .common import agent_or_404, page_context
from .save import SaveOutcome, places, refuse, save_tab, slots_of, stamp_in
from .start import started
from .suggestions import advice, fields_advice


@require_http_methods(["GET", "POST"])
@role_required(Role.VIEWER)
@varies_by_htmx
def prompts(request: HttpRequest, agent_id: str) -> HttpResponseBase:
    """Analysis prompt, model, built-in categories, history columns."""
    agent = agent_or_404(agent_id)
    if request.method == "POST":
        return _save_prompts(request, agent)
    return _prompts_page(request, standing_of(agent), SaveOutcome())


@require_http_methods(["GET", "POST"])
@role_required(Role.VIEWER)
@varies_by_htmx
def fields(request: HttpRequest, agent_id: str) -> HttpResponseBase:
    """Show the agent's own fields, in the builder or as JSON Schema (``?view=json``)."""
    agent = agent_or_404(agent_id)
    if request.method == "POST":
        return _save_fields(request, agent)
    return _fields_page(request, standing_of(agent), SaveOutcome())


@require_http_methods(["GET", "POST"])
@role_required(Role.VIEWER)
@varies_by_htmx
def post_analysis(request: HttpRequest, agent_id: str) -> HttpResponseBase:
    """Show which conversations are analyzed automatically, and what with long ones."""
    agent = agent_or_404(agent_id)
    if request.method == "POST":
        return _save_post_analysis(request, agent)
    return _post_analysis_page(request, standing_of(agent), SaveOutcome())


@role_required(Role.EDITOR)
def _save_prompts(request: HttpRequest, agent: Agent) -> HttpResponse:
    changes = prompts_changes(request.POST, agent.channel)
    return save_tab(request, agent, "prompts", changes, _prompts_page)


@role_required(Role.EDITOR)
def _save_post_analysis(request: HttpRequest, agent: Agent) -> HttpResponse:
    changes = post_analysis_changes(request.POST, agent.channel)
    return save_tab(request, agent, "post_analysis", changes, _post_analysis_page)


@role_required(Role.EDITOR)
def _save_fields(request: HttpRequest, agent: Agent) -> HttpResponse:
    sent = fields_input(request.POST)
    if "switch" in request.POST:
        return _switch(request, agent, sent, request.POST["switch"])
    if "mend" in request.POST and not sent.faults:
        return _mend(request, agent, sent, request.POST["mend"])

    def page(request: HttpRequest, standing: DraftStatus, outcome: SaveOutcome) -> HttpResponse:
        shown = sent
        if outcome.content:
            schema = outcome.content.editor["schema"]
            shown = FieldsInput(sent.mode, schema, pretty(schema))
        return _fields_page(request, standing, outcome, sent=shown)

    if sent.faults:
        outcome = SaveOutcome(faults=sent.faults, stamp=stamp_in(request))
        return refuse(request, agent, "fields", outcome, page)
    changes = {"analysis": {"schema": sent.schema}}
    return save_tab(request, agent, "fields", changes, page)


def _switch(request: HttpRequest, agent: Agent, sent: FieldsInput, to: str) -> HttpResponse:
    """Show the other editor with this one's content, saved or not; this one where that fails."""
    faults = sent.faults
    if not faults and to == "builder":
        faults = tuple(read_schema(sent.schema)[1])
    if not faults:
        sent = FieldsInput(to, sent.schema, sent.text)
    stamp = stamp_in(request)
    dirty = bool(faults) or not same_schema(sent.schema, _schema_at(agent, stamp))
    outcome = SaveOutcome(faults=faults, stamp=stamp, dirty=dirty)
    return _fields_page(request, standing_of(agent), outcome, sent=sent)


def _schema_at(agent: Agent, stamp: services.Stamp | None) -> Json:
    """Return the schema that a page was filled from, by its stamp; the draft's where it is none."""
    content = services.content_at(agent, stamp) if stamp else None
    return (content or content_of(services.draft_of(agent))).editor["schema"]  # type: ignore[no-any-return]


def _mend(request: HttpRequest, agent: Agent, sent: FieldsInput, key: str) -> HttpResponse:
    """Show the same editor over the schema with one hint followed; nothing is saved by that.

    A hint that is no longer given (another click, another word typed) changes nothing.
    """
    standing = standing_of(agent)
    saved = content_of(standing.draft)
    changes = {"analysis": {"schema": sent.schema}}
    content, faults = merge(saved, changes, derived=derived_names())
    pointer = ""
    for hint in lint(content) if not faults else ():
        if hint.key == key and hint.mend:
            schema, pointer = hint.mend.edit(content.editor["schema"]), hint.pointer
            sent = FieldsInput(sent.mode, schema, pretty(schema))
            break
    stamp = stamp_in(request)
    dirty = bool(faults) or not same_schema(sent.schema, _schema_at(agent, stamp))
    outcome = SaveOutcome(faults=tuple(faults), stamp=stamp, dirty=dirty)
    return _fields_page(request, standing, outcome, sent=sent, mended=pointer)


def _prompts_page(
    request: HttpRequest, standing: DraftStatus, outcome: SaveOutcome
) -> HttpResponse:
    content = content_of(standing.draft)
    model = standing.draft.config.model
    shown = _shown(content, outcome)
    found = advice(content, model, standing.agent, tab="prompts")
    context = {
        **_context(request, standing, "prompts", outcome, shown),
        "advice": found,
        "cards": [
            {"category": item, "setting": shown["analysis"]["built_ins"][item.name]}
            for item in categories(standing.agent.channel)
        ],
        "models": _models(model, found["costs"]),
        "assumed_transcript": 0 if found["costs"].transcript_tokens else ASSUMED_TRANSCRIPT,
        "shares": shares(content, model),
        "columns": _columns(standing, shown),
    }
    return _rendered(request, "prompts", outcome, context)


def _models(chosen: LanguageModel, found: Costs) -> list[dict[str, object]]:
    """The models that can be chosen; those without a key are shown with the missing variable."""
    return [
        {
            "name": model.name,
            "label": model_label(model, cost_with(found, chosen, model)),
            "off": model.pk != chosen.pk and bool(missing_key(model.spec())),
        }
        for model in LanguageModel.objects.all()
        if model.enabled or model.pk == chosen.pk
    ]


def _columns(standing: DraftStatus, shown: Json) -> list[dict[str, Any]]:
    """Return the three selects: enabled built-ins, then the agent's own fields, then nothing."""
    built_ins = [c.name for c in categories(standing.agent.channel)]
    own = list(standing.draft.config.parsed().own_fields())
    return [
        {"name": name, "value": value, "built_ins": built_ins, "own": own}
        for name, value in shown["columns"].items()
    ]


def _post_analysis_page(
    request: HttpRequest, standing: DraftStatus, outcome: SaveOutcome
) -> HttpResponse:
    shown = _shown(content_of(standing.draft), outcome)
    context = {
        **_context(request, standing, "post_analysis", outcome, shown),
        "idle_minutes": _minutes(shown["post_analysis"]["chat_idle_seconds"]),
    }
    return _rendered(request, "post_analysis", outcome, context)


def _minutes(seconds: object) -> object:
    """Seconds as minutes; what someone typed instead of a number stays as it is."""
    if not isinstance(seconds, int | float | Decimal):
        return seconds
    return plain_number(Decimal(str(seconds)) / 60)


def _fields_page(
    request: HttpRequest,
    standing: DraftStatus,
    outcome: SaveOutcome,
    sent: FieldsInput | None = None,
    *,
    mended: str = "",
) -> HttpResponse:
    content = content_of(standing.draft)
    if sent is None:
        schema = content.editor["schema"]
        mode = "json" if request.GET.get("view") == "json" else "builder"
        sent = FieldsInput(mode, schema, pretty(schema))
    context = _context(request, standing, "fields", outcome, content.as_draft())
    context |= _editor(sent, editable=context["editable"])
    context |= fields_advice(standing.draft, sent)
    context |= {
        "mended": mended,
        "started": started(request, standing),
        "no_fields": not content.document().own_fields(),
    }
    if wants_fragment(request) and ("switch" in request.POST or "mend" in request.POST):
        return render(request, "agents/_fields_form.html", context)
    return _rendered(request, "fields", outcome, context)


def _editor(sent: FieldsInput, *, editable: bool) -> dict[str, Any]:
    """The context of one of the two editors; the raw one where the builder cannot show it all."""
    reason = ""
    if sent.mode == "builder":
        try:
            rows, base = _rows_and_base(sent)
        except NotShowable as error:
            reason = str(error)
        else:
            builder = builder_widget(rows, editable=editable)
            return {"mode": "builder", "base_schema": base, "builder": builder}
    return {"mode": "json", "schema_text": sent.text, "not_showable": reason}


def _rows_and_base(sent: FieldsInput) -> tuple[str, str]:
    """Return the builder's rows and the schema that they come from, as JSON. Raises NotShowable."""
    if sent.rows:  # as they were typed, right or wrong
        return sent.rows, sent.base
    schema = json.loads(sent.schema) if isinstance(sent.schema, str) else sent.schema
    if not isinstance(schema, dict):
        raise NotShowable("a schema that isn't an object")
    rows = [row.as_dict() for row in rows_of(schema)]
    return json.dumps(rows, ensure_ascii=False), json.dumps(schema, ensure_ascii=False)


def _context(
    request: HttpRequest, standing: DraftStatus, tab: str, outcome: SaveOutcome, shown: Json
) -> dict[str, Any]:
    return {
        **page_context(request, standing, tab),
        "outcome": outcome,
        "slots": slots_of(places(tab, standing.agent.channel), outcome.faults),
        "stamp": outcome.stamp or services.Stamp(standing.draft.number, standing.draft.save_count),
        "content": shown,
    }


def _rendered(
    request: HttpRequest, tab: str, outcome: SaveOutcome, context: dict[str, Any]
) -> HttpResponse:
    """Show the tab's page, or for htmx its form with its surroundings."""
    whole = wants_fragment(request) and outcome.content is not None
    context["form"] = f"agents/_{tab}_form.html"
    return render(request, "agents/_form_answer.html" if whole else f"agents/{tab}.html", context)


def _shown(content: Content, outcome: SaveOutcome) -> Json:
    """Return what a form shows: the draft, what someone typed over it, or the two merged."""
    return overlay((outcome.content or content).as_draft(), outcome.typed)


def overlay(document: Json, typed: Json) -> Json:
    """Return a draft with what someone typed laid over it, right or wrong, to show it again."""
    result = dict(document)
    for name, value in typed.items():
        inner = result.get(name)
        both = isinstance(inner, dict) and isinstance(value, dict) and name != "schema"
        result[name] = overlay(inner, value) if both and isinstance(inner, dict) else value
    return result

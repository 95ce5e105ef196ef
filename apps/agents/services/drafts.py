"""Making an agent, saving and restoring its draft."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.accounts.models import Role
from apps.agents.changes import Fault, merge
from apps.agents.content import Content, Json, canonical_editor, content_of, content_of_save
from apps.agents.derived_names import derived_names, hold_names
from apps.agents.diffs import Diff, diff_contents
from apps.agents.documents import categories, default_columns
from apps.agents.draft_start import Source, plan_start
from apps.agents.edit_merge import changes_on_top
from apps.agents.models import Agent, AgentVersion, Channel, ConfigSave
from apps.core.errors import NotFound
from apps.core.validation_messages import shown
from apps.llm.models import LanguageModel
from apps.llm.services import default_model

from .common import (
    conflict,
    content_at,
    draft_of,
    has_changed_since,
    lock,
    mark_configured,
    name_faults,
    store,
)
from .errors import InvalidDraft, StalePage
from .stamp import Stamp


@dataclass(frozen=True, slots=True)
class SaveResult:
    """The outcome of a save. If nothing changed, ``save`` is None and ``diff`` is empty.

    `theirs` has the changes by others since the saved page was loaded.
    """

    version: AgentVersion
    save: ConfigSave | None
    diff: Diff
    theirs: Diff = field(default_factory=Diff)

    @property
    def changed(self) -> bool:
        return self.save is not None


@dataclass(frozen=True, slots=True)
class MergedForm:
    """A form to show again: its content, the stamp that belongs to it, what others changed."""

    content: Content
    stamp: Stamp
    theirs: Diff


@transaction.atomic
def create_agent(
    *,
    name: str,
    channel: str,
    by: Actor,
    model: LanguageModel | str | None = None,
    external_id: str = "",
    unconfigured: bool = False,
    start: Source | None = None,
    at: datetime | None = None,
) -> Agent:
    """A new agent with its draft V0: all built-ins on with their default prompts, and required.

    Without ``model`` it gets DEFAULT_MODEL. ``unconfigured`` is for receivers that meet an agent
    which no one has set up: its conversations wait until someone saves. ``start`` is a template
    or another agent whose fields it begins with. ``at`` is the time of imported data;
    None is now. Raises InvalidDraft.
    """
    name = name.strip()
    faults = name_faults(name)
    if channel not in Channel.values:
        faults.append(Fault("channel", f"The channel must be voice or chat, not {shown(channel)}."))
    if faults:
        raise InvalidDraft(faults)
    language_model = _model(model)
    content = _first_content(channel, language_model, start)
    agent = Agent.objects.create(
        name=name,
        channel=channel,
        external_id=external_id,
        unconfigured=unconfigured,
        created_by=by.label,
        created_at=at or timezone.now(),
    )
    draft = AgentVersion(agent=agent, number=0)
    note = f"created from {start.title}"[:200] if start else "created"
    store(draft, content, language_model, by=by, note=note, at=at)
    detail = {"name": name, "channel": channel} | ({"start": start.key} if start else {})
    audit.record(by=by, verb="agent.created", target=agent.public_id, detail=detail)
    return agent


def draft_document(version: AgentVersion) -> Json:
    """Return a version in the API's shape, with every default filled in."""
    return content_of(version).as_draft()


@transaction.atomic
def save_draft(
    *,
    agent: Agent,
    changes: Json,
    by: Actor,
    expected: Stamp | None = None,
    note: str = "",
    at: datetime | None = None,
) -> SaveResult:
    """Merge any part of the API's draft shape into the draft, and keep it as a save.

    Writes nothing where nothing changed. Raises InvalidDraft with a fault per place, and
    DraftConflict where ``expected`` is given and the draft says something else by now.
    """
    agent, draft = lock(agent)
    before = content_of(draft)
    after, model = _merged(before, changes, by)
    if expected and not after.same_as(before) and has_changed_since(draft, expected):
        raise conflict(draft, content_at(agent, expected) or before, after)
    return _keep(draft, after, model, by=by, note=note, at=at)


@transaction.atomic
def save_form(*, agent: Agent, form: Json, stamp: Stamp, by: Actor) -> SaveResult:
    """Save what someone edited in a form that was filled from the draft at ``stamp``.

    Only their own edits are saved, whatever else the form holds. Raises StalePage,
    InvalidDraft, and DraftConflict where someone else saved since and these edits would change
    that: their author has to see it first.
    """
    agent, draft = lock(agent)
    before, base = content_of(draft), _base(agent, stamp)
    mine = changes_on_top(form, base.as_draft(), before.as_draft())
    after, model = _merged(before, mine, by)
    if not after.same_as(before) and not base.same_as(before):
        raise conflict(draft, base, after)
    result = _keep(draft, after, model, by=by)
    return replace(result, theirs=diff_contents(base, before))


def merge_form(*, agent: Agent, form: Json, stamp: Stamp, by: Actor) -> MergedForm:
    """Return the draft as it is now with the edits of a form on top. Saves nothing.

    A form shows that together with the new stamp, or neither. Raises StalePage, InvalidDraft.
    """
    draft = draft_of(agent)
    before, base = content_of(draft), _base(agent, stamp)
    mine = changes_on_top(form, base.as_draft(), before.as_draft())
    after, _ = _merged(before, mine, by)
    return MergedForm(after, Stamp(draft.number, draft.save_count), diff_contents(base, before))


@transaction.atomic
def restore_save(
    *,
    agent: Agent,
    by: Actor,
    save_id: int | None = None,
    version: int | None = None,
    expected: Stamp | None = None,
) -> SaveResult:
    """Restore the draft to a save or a published version, as a new save.

    But for how long conversations are stored, which stays as it is.

    Raises NotFound for a save or version of another agent, and what ``save_draft`` raises.
    """
    if save_id is not None:
        save = ConfigSave.objects.filter(pk=save_id, agent_version__agent=agent).first()
        if save is None:
            raise NotFound(f"{agent.name} has no save number {save_id}.")
        content = content_of_save(save, agent.channel)
        said = f"{timezone.localtime(save.at):%b %-d, %Y, %-I:%M %p}"
        note = f"restored the save of {said} by {save.by}"[:200]
    else:
        published = AgentVersion.objects.published().filter(agent=agent)
        found = published.filter(number=version).first() if version is not None else None
        if found is None:
            raise NotFound(f"{agent.name} has no published version {version}.")
        found.agent = agent
        content, note = content_of(found), f"restored {found.label}"
    changes = content.as_draft()
    del changes["post_analysis"]["retention_days"]  # bringing prompts back erases nothing
    return save_draft(agent=agent, changes=changes, by=by, expected=expected, note=note)


def _base(agent: Agent, stamp: Stamp) -> Content:
    base = content_at(agent, stamp)
    if base is None:
        raise StalePage(
            "This page is out of date. Copy your changes, then reload it and try again."
        )
    return base


def _merged(before: Content, changes: Json, by: Actor) -> tuple[Content, LanguageModel]:
    """Return the content with the changes in it, and its model. Raises InvalidDraft."""
    hold_names(for_schemas=True)
    after, faults = merge(before, changes, derived=derived_names())
    faults += _retention_faults(before, after, by)
    model = None if faults else _model_of(after, before, faults)
    if faults or model is None:
        raise InvalidDraft(faults)
    return after, model


def _keep(
    draft: AgentVersion,
    after: Content,
    model: LanguageModel,
    *,
    by: Actor,
    note: str = "",
    at: datetime | None = None,
) -> SaveResult:
    """Store a content into a locked draft, unless it holds it already."""
    agent, before = draft.agent, content_of(draft)
    if _is_stored(draft, before, after, model):
        mark_configured(agent, by)
        return SaveResult(draft, None, Diff())
    save = store(draft, after, model, by=by, note=note, at=at)
    diff = diff_contents(before, after)
    mark_configured(agent, by)
    detail = {"version": draft.number, "save": save.pk, "what": diff.summary, "note": note}
    audit.record(by=by, verb="agent.draft_saved", target=agent.public_id, detail=detail)
    return SaveResult(draft, save, diff)


def _retention_faults(before: Content, after: Content, by: Actor) -> list[Fault]:
    """Erasing is for admins, and so is the setting that erases automatically."""
    name = "retention_days"
    same = before.post_analysis[name] == after.post_analysis[name]
    if same or by.role.allows(Role.ADMIN):
        return []
    reason = "Only admins can change data retention, because older conversations are erased."
    return [Fault(f"post_analysis.{name}", reason)]


def _first_content(channel: str, model: LanguageModel, start: Source | None) -> Content:
    built_ins = {c.name: {"required": True} for c in categories(channel)}
    editor = canonical_editor(channel, {"model": model.name, "built_ins": built_ins})
    bare = Content(channel, editor)
    content = Content(channel, editor, columns=default_columns(channel, bare.document()))
    if start is None:
        return content
    hold_names(for_schemas=True)
    changes = plan_start(content, start, how="replace").changes
    content, faults = merge(content, changes, derived=derived_names())
    if faults:
        raise InvalidDraft(faults)
    return content


def _is_stored(draft: AgentVersion, before: Content, after: Content, model: LanguageModel) -> bool:
    """Whether saving would change nothing: not the content, nor the model's own parameters."""
    same_model = draft.config.model_id == model.pk
    parameters = dict(draft.config.parsed().parameters)
    return before.same_as(after) and same_model and parameters == model.parameters


def _model(model: LanguageModel | str | None) -> LanguageModel:
    if isinstance(model, LanguageModel):
        return model
    if model is None:
        return default_model()
    found = LanguageModel.objects.filter(name=model).first()
    if found is None:
        raise InvalidDraft([_unknown_model(model)])
    return found


def _model_of(after: Content, before: Content, faults: list[Fault]) -> LanguageModel | None:
    """The model that a content names; a fault where there is none, or one that is off is chosen."""
    name = after.editor["model"]
    model = LanguageModel.objects.filter(name=name).first()
    if model is None:
        faults.append(_unknown_model(name))
    elif not model.enabled and name != before.editor["model"]:
        reason = f"The model {shown(name)} is switched off. Choose another one."
        faults.append(Fault("analysis.model", reason))
    return model


def _unknown_model(name: str) -> Fault:
    return Fault(
        "analysis.model",
        f"There's no model named {shown(name)}. An admin can add it under Models.",
    )

"""Helpers of the services of agents: the lock, storing a draft, the conflict."""

from datetime import datetime

from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.agents.changes import Fault
from apps.agents.content import Content, content_of, content_of_save, fill_version
from apps.agents.diffs import diff_contents
from apps.agents.models import Agent, AgentVersion, ConfigSave
from apps.agents.plans import config_of
from apps.agents.schemas import unstorable
from apps.core.tasks import enqueue
from apps.llm.models import LanguageModel

from .errors import AgentDeactivated, DraftConflict
from .stamp import Stamp

MAX_NAME = 200


def draft_of(agent: Agent) -> AgentVersion:
    """Return the working draft, with its config and model loaded."""
    draft = AgentVersion.objects.drafts().with_config().get(agent=agent)
    draft.agent = agent
    return draft


def base_content(draft: AgentVersion, save_count: int) -> Content | None:
    """What the draft held after its save number ``save_count``; None without that save."""
    if save_count < 1:
        return None
    save = draft.saves.order_by("pk")[save_count - 1 : save_count].first()
    return content_of_save(save, draft.agent.channel) if save else None


def content_at(agent: Agent, stamp: Stamp) -> Content | None:
    """Return what the draft of ``agent`` held at a stamp; None where it never had that state."""
    version = AgentVersion.objects.filter(agent=agent, number=stamp.version).first()
    if version is None:
        return None
    version.agent = agent
    if stamp.save_count == version.save_count:
        return content_of(version)
    return base_content(version, stamp.save_count)


def has_changed_since(draft: AgentVersion, stamp: Stamp) -> bool:
    """Return whether a draft holds something else than at the stamp of a page.

    Numbers alone don't decide: publishing continues with an equal copy.
    """
    seen = content_at(draft.agent, stamp)
    return seen is None or not seen.same_as(content_of(draft))


def lock(agent: Agent) -> tuple[Agent, AgentVersion]:
    """Return the agent, held until the transaction ends, and its draft as it is now.

    Without KEY: conversations that arrive in the meantime refer to the row and must not wait.
    """
    locked = Agent.objects.select_for_update(no_key=True).get(pk=agent.pk)
    if locked.deactivated_at:
        raise AgentDeactivated(f"{locked.name} is deactivated. Reactivate it to make changes.")
    return locked, draft_of(locked)


def store(
    version: AgentVersion,
    content: Content,
    model: LanguageModel,
    *,
    by: Actor,
    note: str,
    at: datetime | None,
) -> ConfigSave:
    """Put a content into a draft and keep it as a save; ``at`` is now where it is None."""
    fill_version(version, content)
    version.config = config_of(version, content.editor, model=model)
    version.save_count += 1
    version.saved_at = at or timezone.now()
    version.saved_by = by.label
    version.save()
    return ConfigSave.objects.create(
        agent_version=version,
        config=version.config,
        editor_document=version.editor_document,
        settings=content.settings(),
        note=note,
        by=by.label,
        at=version.saved_at,
    )


def conflict(draft: AgentVersion, base: Content, merged: Content) -> DraftConflict:
    """Return the rejection for an editor whose page is of ``base``, in full.

    ``merged`` is the draft as it is now with what that editor edited on top.
    """
    current = content_of(draft)
    return DraftConflict(
        saved_by=draft.saved_by,
        saved_at=draft.saved_at,
        stamp=Stamp(draft.number, draft.save_count),
        theirs=diff_contents(base, current),
        mine=diff_contents(current, merged),
        merged=merged,
    )


def mark_configured(agent: Agent, by: Actor) -> None:
    """Someone has looked at the agent and saved: its conversations may be analyzed."""
    if agent.unconfigured:
        agent.unconfigured = False
        agent.save(update_fields=["unconfigured"])
        audit.record(by=by, verb="agent.configured", target=agent.public_id)
        # What arrived meanwhile waits for this: intake, an app above, continues.
        enqueue("intake.release", queue="maintenance", agent_id=agent.public_id)


def name_faults(name: str) -> list[Fault]:
    """Return the problems with the name of an agent."""
    if not name:
        return [Fault("name", "Enter a name.")]
    if len(name) > MAX_NAME:
        return [
            Fault("name", f"The name is {len(name)} characters long. The maximum is {MAX_NAME}.")
        ]
    reason = unstorable(name)
    if not reason and any(ord(c) < 32 for c in name):
        reason = "The name can't contain line breaks or control characters."
    return [Fault("name", reason)] if reason else []

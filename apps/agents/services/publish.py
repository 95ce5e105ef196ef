"""Publish a draft: freeze it, and open its copy as the next one."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.agents.changes import Fault
from apps.agents.content import content_of
from apps.agents.models import Agent, AgentVersion
from apps.agents.plans import problems_of
from apps.agents.schemas import unstorable

from .common import MAX_NAME, base_content, conflict, lock, mark_configured, store
from .errors import InvalidDraft, NothingToPublish


@transaction.atomic
def publish(
    *,
    agent: Agent,
    by: Actor,
    title: str = "",
    note: str = "",
    expected_version: int | None = None,
    expected_save_count: int | None = None,
    at: datetime | None = None,
) -> AgentVersion:
    """Freeze the draft as its version and open the next one as a copy. Returns the frozen one.

    A form names the draft that it showed by ``expected_version`` and ``expected_save_count``:
    its second click then finds the version published and changes nothing. Raises
    NothingToPublish, InvalidDraft, DraftConflict.
    """
    agent, draft = lock(agent)
    if expected_version is not None and expected_version < draft.number:
        return AgentVersion.objects.with_config().get(agent=agent, number=expected_version)
    content = content_of(draft)
    if expected_save_count is not None and expected_save_count != draft.save_count:
        raise conflict(draft, base_content(draft, expected_save_count) or content, content)
    title, note = title.strip(), note.strip()
    _check_publishable(agent, draft, title, note)
    draft.published_at = at or timezone.now()
    draft.published_by = by.label
    draft.title, draft.note = title, note
    draft.save(update_fields=["published_at", "published_by", "title", "note"])
    following = AgentVersion(agent=agent, number=draft.number + 1)
    store(following, content, draft.config.model, by=by, note=f"opened from {draft.label}", at=at)
    mark_configured(agent, by)
    audit.record(
        by=by,
        verb="agent.published",
        target=agent.public_id,
        detail={"version": draft.number, "title": title, "config": draft.config.name},
    )
    return draft


def _check_publishable(agent: Agent, draft: AgentVersion, title: str, note: str) -> None:
    faults = [
        Fault(place, reason)
        for place, text in (("title", title), ("note", note))
        if (reason := unstorable(text))
    ]
    if len(title) > MAX_NAME:
        faults.append(
            Fault("title", f"The title is {len(title)} characters long. The maximum is 200.")
        )
    faults += [Fault("analysis", problem) for problem in problems_of(draft)]
    if faults:
        raise InvalidDraft(faults)
    latest = AgentVersion.objects.published().filter(agent=agent).order_by("-number").first()
    if latest is None:
        return
    latest.agent = agent
    if latest.config_id == draft.config_id and content_of(latest).same_as(content_of(draft)):
        raise NothingToPublish(
            f"{draft} has no changes since {latest.label}. Edit it before publishing."
        )

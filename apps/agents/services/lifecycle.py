"""Names, and agents that are out of use."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.agents.models import Agent

from .common import name_faults
from .errors import InvalidDraft


@transaction.atomic
def rename_agent(*, agent: Agent, name: str, by: Actor) -> Agent:
    """Give an agent another name. Raises InvalidDraft."""
    name = name.strip()
    if faults := name_faults(name):
        raise InvalidDraft(faults)
    locked: Agent = Agent.objects.select_for_update(no_key=True).get(pk=agent.pk)
    if locked.name != name:
        detail = {"before": locked.name, "after": name}
        locked.name = name
        locked.save(update_fields=["name"])
        audit.record(by=by, verb="agent.renamed", target=agent.public_id, detail=detail)
    return locked


@transaction.atomic
def deactivate(*, agent: Agent, by: Actor) -> Agent:
    """Take an agent out of use; its conversations and versions stay."""
    return _set_deactivated(agent, timezone.now(), by, "agent.deactivated")


@transaction.atomic
def reactivate(*, agent: Agent, by: Actor) -> Agent:
    """Put a deactivated agent back into use."""
    return _set_deactivated(agent, None, by, "agent.reactivated")


def _set_deactivated(agent: Agent, at: datetime | None, by: Actor, verb: str) -> Agent:
    locked: Agent = Agent.objects.select_for_update(no_key=True).get(pk=agent.pk)
    if bool(locked.deactivated_at) != bool(at):
        locked.deactivated_at = at
        locked.save(update_fields=["deactivated_at"])
        audit.record(by=by, verb=verb, target=agent.public_id)
    return locked

"""Start a draft from a template or from another agent's fields."""

from django.db import transaction

from apps.accounts.actors import Actor
from apps.agents.content import content_of
from apps.agents.draft_start import How, Source, agent_source, plan_start, template_source
from apps.agents.models import Agent, ConfigSave
from apps.agents.templates import BY_KEY
from apps.core.errors import NotFound
from apps.core.validation_messages import shown

from .common import draft_of, lock
from .drafts import SaveResult, save_draft
from .stamp import Stamp


def source_of(key: str) -> Source:
    """What a key names: a template, or the draft of an agent by its public id. Raises NotFound."""
    if template := BY_KEY.get(key):
        return template_source(template)
    agent = Agent.objects.filter(public_id=key).first()
    if agent is None:
        raise NotFound(
            f"There is no template {shown(key)}; there are {', '.join(BY_KEY)}, and the ids of "
            "agents."
        )
    return agent_source(agent.public_id, agent.name, content_of(draft_of(agent)))


@transaction.atomic
def start_from(
    *,
    agent: Agent,
    source: Source,
    by: Actor,
    how: How = "merge",
    with_prompt: bool = True,
    expected: Stamp | None = None,
) -> SaveResult:
    """Bring a source's fields into the draft, as a save. Raises what ``save_draft`` raises."""
    agent, draft = lock(agent)
    start = plan_start(content_of(draft), source, how=how, with_prompt=with_prompt)
    return save_draft(
        agent=agent,
        changes=start.changes,
        by=by,
        expected=expected,
        note=f"started from {source.title}"[:200],
    )


def save_before(save: ConfigSave) -> ConfigSave | None:
    """The save that a save of the same agent's draft came after: what its *Undo* restores."""
    saves = ConfigSave.objects.filter(agent_version_id=save.agent_version_id, pk__lt=save.pk)
    return saves.order_by("-pk").first()

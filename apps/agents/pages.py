"""Read what the pages of agents show, in few queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from apps.core.counts import COUNTED, Count
from apps.core.errors import NotFound

from .content import Content, content_of, content_of_save
from .diffs import Diff, diff_contents
from .models import Agent, AgentVersion, ConfigSave


@dataclass(frozen=True, slots=True)
class DraftStatus:
    """Where an agent's draft is: the line on top of each of its pages."""

    agent: Agent
    draft: AgentVersion
    latest: AgentVersion | None
    changes: Diff

    @property
    def can_publish(self) -> bool:
        """Return whether publishing would say anything new."""
        return self.latest is None or bool(self.changes)


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of an agent's history: a save, and the version's publication above its last."""

    save: ConfigSave
    key: str
    summary: str
    is_current: bool
    is_from: bool
    published: AgentVersion | None


@dataclass(frozen=True, slots=True)
class DiffSide:
    """One of two states to compare. Its key: ``s12`` a save, ``v3`` a published one, ``draft``."""

    key: str
    label: str
    by: str
    at: datetime
    content: Content


def standing_of(agent: Agent) -> DraftStatus:
    """Return the draft, the latest published version and what changed between them: two queries."""
    draft = AgentVersion.objects.drafts().with_config().get(agent=agent)
    published = AgentVersion.objects.published().filter(agent=agent)
    latest = published.select_related("config").order_by("-number").first()
    return _standing(agent, draft, latest)


def standings(agents: Sequence[Agent]) -> list[DraftStatus]:
    """Return the standing of each agent, in two queries for all of them."""
    drafts = {v.agent_id: v for v in AgentVersion.objects.drafts().with_config()}
    newest = AgentVersion.objects.published().order_by("agent_id", "-number").distinct("agent_id")
    latest = {v.agent_id: v for v in newest.select_related("config")}
    return [_standing(agent, drafts[agent.pk], latest.get(agent.pk)) for agent in agents]


_COUNT = """
SELECT a.id, (SELECT count(*) FROM (
  SELECT 1 FROM conversations_conversation c WHERE c.agent_id = a.id LIMIT %s
) AS counted)
FROM unnest(%s::bigint[]) AS a(id)
"""


def conversation_counts(agents: Sequence[Agent]) -> dict[int, Count]:
    """Return how many conversations each agent has by its key, up to a limit, in one query.

    The table belongs to the app above; here only its name is used.
    """
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, [COUNTED + 1, [agent.pk for agent in agents]])
        return {pk: Count.of(number, COUNTED) for pk, number in cursor.fetchall()}


def _standing(agent: Agent, draft: AgentVersion, latest: AgentVersion | None) -> DraftStatus:
    draft.agent = agent
    if latest is None:
        return DraftStatus(agent, draft, None, Diff())
    latest.agent = agent
    return DraftStatus(agent, draft, latest, diff_contents(content_of(latest), content_of(draft)))


def moments(agent: Agent, draft: AgentVersion, saves: Sequence[ConfigSave]) -> list[Moment]:
    """The history's lines for these saves, newest first; the save before each is in ``saves`` or
    fetched once for the last."""
    contents = [content_of_save(save, agent.channel) for save in saves]
    if saves:
        older = ConfigSave.objects.filter(agent_version__agent=agent, pk__lt=saves[-1].pk).first()
        contents += [content_of_save(older, agent.channel)] if older else []
    lines = []
    seen: set[int] = set()
    for index, save in enumerate(saves):
        before = contents[index + 1] if index + 1 < len(contents) else None
        diff = diff_contents(before, contents[index]) if before else Diff()
        version = save.agent_version
        # The last save of a version is what was published.
        published = version if not version.is_draft and _is_last(save, version, seen) else None
        seen.add(version.pk)
        current = version.pk == draft.pk and index == 0
        lines.append(
            Moment(
                save, f"s{save.pk}", diff.summary if diff else "", current, index == 1, published
            )
        )
    return lines


def _is_last(save: ConfigSave, version: AgentVersion, seen: set[int]) -> bool:
    return version.pk not in seen and save.at == version.saved_at


def side_of(agent: Agent, key: str) -> DiffSide:
    """Return the state that a key names. Raises NotFound for one that this agent has not."""
    if key == "draft":
        draft = AgentVersion.objects.drafts().get(agent=agent)
        draft.agent = agent
        return DiffSide(key, str(draft), draft.saved_by, draft.saved_at, content_of(draft))
    number = key[1:]
    if key[:1] == "v" and number.isdecimal() and len(number) < 10:
        version = AgentVersion.objects.published().filter(agent=agent, number=number).first()
        if version and version.published_at:
            version.agent = agent
            by, at = version.published_by, version.published_at
            return DiffSide(key, version.label, by, at, content_of(version))
    if key[:1] == "s" and number.isdecimal() and len(number) < 18:
        saves = ConfigSave.objects.select_related("agent_version")
        save = saves.filter(agent_version__agent=agent, pk=number).first()
        if save:
            content = content_of_save(save, agent.channel)
            return DiffSide(key, f"a save of {save.agent_version.label}", save.by, save.at, content)
    raise NotFound(f"{agent.name} has no state “{key[:20]}”. Pick two lines of its history.")

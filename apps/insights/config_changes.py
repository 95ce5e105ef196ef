"""Changes of prompts, fields, and models inside a period, for marks on the time axis."""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

from django.db.models import F, Q, QuerySet, Window
from django.db.models.functions import Lag
from django.urls import reverse

from apps.agents.diffs import diff_configs
from apps.agents.models import AgentVersion, AnalysisConfig, ConfigSave

from .field_stats import Change
from .scope import Scope

MOST = 50
"""Marks of one time axis, the newest ones."""


def changes_of(scope: Scope) -> list[Change]:
    """Return saved drafts with another config, and published versions, the oldest first."""
    found = [*_saved(scope), *_published(scope)]
    return sorted(found, key=lambda change: (change.at, change.agent))[-MOST:]


def _saved(scope: Scope) -> Iterable[Change]:
    saves = list(_saves(scope))
    configs = AnalysisConfig.objects.in_bulk(
        {pk for save in saves for pk in (save.config_id, save.before)}
    )
    for save in saves:
        diff = diff_configs(configs[save.before].parsed(), configs[save.config_id].parsed())
        yield _change(scope, save.agent_version, save.at, f"Draft saved: {diff.summary}", save.by)


def _saves(scope: Scope) -> QuerySet[Any]:
    before = Window(
        Lag("config_id"), partition_by=F("agent_version__agent"), order_by=F("pk").asc()
    )
    saves = ConfigSave.objects.filter(_agents(scope, "agent_version__agent__"))
    rows = saves.annotate(before=before).filter(
        ~Q(config_id=F("before")), at__gte=scope.period.start, at__lt=scope.period.end
    )
    return rows.exclude(before=None).select_related("agent_version__agent").order_by("-pk")[:MOST]


def _published(scope: Scope) -> Iterable[Change]:
    versions = AgentVersion.objects.filter(
        _agents(scope, "agent__"),
        published_at__gte=scope.period.start,
        published_at__lt=scope.period.end,
    )
    rows = versions.select_related("agent").defer("editor_document").order_by("-published_at")
    for version in rows[:MOST]:
        what = f"{version.label} published" + (f": {version.title}" if version.title else "")
        yield _change(scope, version, version.published_at, what, version.published_by)


def _agents(scope: Scope, path: str) -> Q:
    found = Q(**{f"{path}public_id__in": scope.agents}) if scope.agents else Q()
    return found & Q(**{f"{path}channel": scope.channel}) if scope.channel else found


def _change(scope: Scope, version: AgentVersion, at: Any, what: str, by: str) -> Change:
    starts = [bucket.start for bucket in scope.buckets]
    return Change(
        at=at,
        bucket=max(bisect_right(starts, at) - 1, 0),
        agent=version.agent.name,
        what=what,
        url=reverse("agents:versions", args=[version.agent.public_id]),
        by=by,
    )

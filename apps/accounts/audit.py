"""The audit log: every change and every spend, by whom and through which channel."""

from collections.abc import Iterable, Mapping
from typing import Any

from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry


def record(
    *, by: Actor, verb: str, target: str = "", detail: Mapping[str, Any] | None = None
) -> AuditEntry:
    """Add an entry, in the transaction of the change itself so that neither lives alone.

    `verb` is `noun.done` (`agent.published`), `target` the public ID of the changed object, and
    `detail` whatever makes the entry readable later: plain JSON values, no secrets, and no
    words of a conversation (an erasure can't reach them here).
    """
    entry = _entry(by, verb, target, detail)
    entry.save(force_insert=True)
    return entry


def record_each(
    *, by: Actor, verb: str, targets: Iterable[str], detail: Mapping[str, Any] | None = None
) -> None:
    """Add the same entry for each of many targets, in one statement."""
    AuditEntry.objects.bulk_create(_entry(by, verb, target, detail) for target in targets)


def _entry(by: Actor, verb: str, target: str, detail: Mapping[str, Any] | None) -> AuditEntry:
    return AuditEntry(
        who=by.label,
        user_id=by.user_id,
        via=by.via,
        verb=verb,
        target=target,
        detail=dict(detail or {}),
    )

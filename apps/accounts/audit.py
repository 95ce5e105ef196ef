"""The audit log: every change and every spend, by whom and through which door."""

from collections.abc import Mapping
from typing import Any

from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry


def record(
    *, by: Actor, verb: str, target: str = "", detail: Mapping[str, Any] | None = None
) -> AuditEntry:
    """Add an entry, in the transaction of the change itself so that neither lives alone.

    `verb` is `noun.done` (`agent.published`), `target` the public id of what it was done to,
    `detail` whatever makes the entry readable later: plain JSON values, no secrets, and no
    words of a conversation (an erasure cannot reach them here).
    """
    return AuditEntry.objects.create(
        who=by.label,
        user_id=by.user_id,
        via=by.via,
        verb=verb,
        target=target,
        detail=dict(detail or {}),
    )

"""The outbox: a push is written in the transaction that changes the contact, or not at all.

With no connection, a change of any number of contacts costs one query of a tiny table.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.utils import timezone

from apps.core.tasks import wake

from .models import Kind, PushState, push_id
from .values import same

NEVER_WRITTEN = frozenset({"phone_number"})
"""Contact fields that no CRM gets: the number identifies the contact there."""

_GROUP = 5_000
"""Rows in one statement."""


@dataclass(frozen=True, slots=True)
class ContactChange:
    """A change of one contact: values by contact field, before and after.

    Built-in fields (``first_name``, ``last_name``, ``email``) have their own names. A field that
    is missing on one side has no value there. ``conversation_ids`` (our primary keys) are the
    conversations that changed it; empty for a manual edit or an import.
    """

    contact_id: int
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    conversation_ids: tuple[int, ...] = ()

    @property
    def changed(self) -> dict[str, Any]:
        """Return the fields that differ, with their new values."""
        names = dict.fromkeys([*self.after, *self.before])
        after = {name: self.after.get(name) for name in names}
        return {n: v for n, v in after.items() if not same(v, self.before.get(n))}


@dataclass(frozen=True, slots=True)
class _Listener:
    """A connection, and the contact fields that it takes; None for all of them."""

    pk: int
    fields: frozenset[str] | None
    approval: bool
    enabled: bool

    def wanted(self, changed: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: value
            for name, value in changed.items()
            if name not in NEVER_WRITTEN and (self.fields is None or name in self.fields)
        }


@dataclass(slots=True)
class _Rows:
    """Pushes to be written, by their state."""

    by_state: dict[PushState, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, listener: _Listener, change: ContactChange, wanted: Mapping[str, Any]) -> None:
        state = PushState.WAITING if listener.approval else PushState.PENDING
        self.by_state.setdefault(state, []).append(
            {
                "public_id": push_id(),
                "connection_id": listener.pk,
                "contact_id": change.contact_id,
                "wanted": dict(wanted),
                "before": {name: change.before.get(name) for name in wanted},
                "conversation_ids": sorted(set(change.conversation_ids)),
            }
        )


def contacts_changed(changes: Sequence[ContactChange]) -> int:
    """Write pushes of these changes for each CRM that maps them; return how many.

    Call it inside the transaction that changes the contacts, with their rows locked. A change of a
    contact that has a pending push is added to it.
    """
    listeners = _lock_listeners() if changes else []
    rows = _Rows()
    for change in _once_each(changes) if listeners else ():
        changed = change.changed
        for listener in listeners:
            if wanted := listener.wanted(changed):
                rows.add(listener, change, wanted)
    for state, found in rows.by_state.items():
        _write(found, state)
    if rows.by_state and any(one.enabled and not one.approval for one in listeners):
        wake_pushes()
    return sum(len(found) for found in rows.by_state.values())


def wake_pushes() -> None:
    """Let a worker look for pushes once the current transaction commits."""
    wake("crm.push", queue="outbound")


def _once_each(changes: Sequence[ContactChange]) -> Iterator[ContactChange]:
    """Yield one change per contact, in the order of contacts, which is that of locking."""
    found: dict[int, ContactChange] = {}
    for new in changes:
        old = found.get(new.contact_id)
        found[new.contact_id] = _joined(old, new) if old else new
    yield from (found[pk] for pk in sorted(found))


def _joined(old: ContactChange, new: ContactChange) -> ContactChange:
    return ContactChange(
        contact_id=old.contact_id,
        before={**new.before, **old.before},
        after={**old.after, **new.after},
        conversation_ids=old.conversation_ids + new.conversation_ids,
    )


_LISTENERS = """
SELECT id, kind, field_map, approval, disabled_at IS NULL FROM crm_crmconnection
ORDER BY id FOR KEY SHARE
"""


def _lock_listeners() -> list[_Listener]:
    """Lock the connections for which pushes are written, until the commit."""
    with connection.cursor() as cursor:
        cursor.execute(_LISTENERS)
        return [
            _Listener(pk, _fields(kind, json.loads(field_map)), approval, enabled)
            for pk, kind, field_map, approval, enabled in cursor.fetchall()
        ]


def _fields(kind: str, field_map: Mapping[str, str]) -> frozenset[str] | None:
    """Return the contact fields that are sent; None for all: an HTTP endpoint without a map."""
    if not field_map and kind == Kind.HTTP:
        return None
    return frozenset(field_map)


# A row that waits keeps the value before the first of its changes. A row that is
# being sent at this moment counts the revision up, and is pending again when it is recorded.
_UPSERT = """
INSERT INTO crm_push AS p (public_id, connection_id, contact_id, kind, wanted, before,
  conversation_ids, state, not_before, created_at, changed_at)
SELECT v.public_id, v.connection_id, v.contact_id, 'fields', v.wanted, v.before,
  v.conversation_ids, %(state)s, %(now)s, %(now)s, %(now)s
FROM jsonb_to_recordset(%(rows)s::jsonb) AS v(public_id text, connection_id bigint,
  contact_id bigint, wanted jsonb, before jsonb, conversation_ids bigint[])
ORDER BY v.connection_id, v.contact_id
ON CONFLICT (connection_id, contact_id) WHERE kind = 'fields' AND state = '{state}'
DO UPDATE SET wanted = p.wanted || excluded.wanted, before = excluded.before || p.before,
  conversation_ids = ARRAY(
    SELECT DISTINCT u FROM unnest(p.conversation_ids || excluded.conversation_ids) u ORDER BY u),
  revision = p.revision + 1, changed_at = excluded.changed_at
"""


def _write(rows: Sequence[dict[str, Any]], state: PushState) -> None:
    statement = _UPSERT.replace("{state}", state.value)
    now = timezone.now()
    with connection.cursor() as cursor:
        for start in range(0, len(rows), _GROUP):
            group = json.dumps(rows[start : start + _GROUP], ensure_ascii=False)
            cursor.execute(statement, {"state": state.value, "rows": group, "now": now})

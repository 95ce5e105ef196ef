"""Mark contacts whose values must be computed again. A mark locks nothing and is never lost."""

from collections.abc import Iterable, Sequence

from django.db import connection

from apps.core.tasks import enqueue

FOLD_TASK = "mappings.fold_contacts"


def mark(contact_ids: Iterable[int]) -> None:
    """Mark contacts to be folded within seconds."""
    ids = sorted(set(contact_ids))
    if not ids:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO mappings_pendingfold (contact_id) SELECT unnest(%s::bigint[])", [ids]
        )
    request_fold()


def request_fold() -> None:
    """Fold marked contacts as soon as the current transaction is committed."""
    enqueue("mappings.fold_contacts")


# Contacts first, then their marks, then contributions: a contribution that is committed after it
# was looked for has a mark that is still there. A contact that another transaction holds is left
# for the next fold, so a fold waits for no contact and takes part in no deadlock of contacts.
_LOCK_MARKED = """
SELECT id FROM contacts_contact
WHERE id IN (SELECT contact_id FROM mappings_pendingfold ORDER BY id LIMIT %s)
ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
"""
_LOCK = "SELECT id FROM contacts_contact WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
_CLEAR = "DELETE FROM mappings_pendingfold WHERE contact_id = ANY(%s)"


def take_marked(limit: int) -> list[int]:
    """Lock up to ``limit`` marked contacts and clear their marks. Return their primary keys."""
    return _take(_LOCK_MARKED, [limit * 8, limit])


def take(contact_ids: Iterable[int], *, wait: bool) -> list[int]:
    """Lock these contacts and clear their marks. Return those that were locked.

    Without ``wait``, contacts that another transaction holds are left out.
    """
    return _take(_LOCK if wait else f"{_LOCK} SKIP LOCKED", [sorted(set(contact_ids))])


def _take(statement: str, parameters: Sequence[int | list[int]]) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(statement, [*parameters])
        locked = [pk for (pk,) in cursor.fetchall()]
        if locked:
            cursor.execute(_CLEAR, [locked])
    return locked


_ORPHANS = """
DELETE FROM mappings_pendingfold WHERE id IN (
  SELECT p.id FROM mappings_pendingfold p WHERE NOT EXISTS (
    SELECT 1 FROM contacts_contact c WHERE c.id = p.contact_id)
  ORDER BY p.id LIMIT 10000 FOR UPDATE SKIP LOCKED)
"""


def clear_orphans() -> None:
    """Delete the marks of deleted contacts."""
    with connection.cursor() as cursor:
        cursor.execute(_ORPHANS)


def any_marked() -> bool:
    """Return whether a contact waits to be folded."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM mappings_pendingfold)")
        return bool(cursor.fetchone()[0])

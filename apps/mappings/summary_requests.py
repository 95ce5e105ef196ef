"""Request summaries of accumulated texts, and look up finished ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db import connection

from .models import Summary
from .reduction import FoldedValue

GATHER = 10.0
"""Seconds that a summary waits for further texts, so that a backfill pays for one."""
GATHER_LIMIT = 300.0
"""The longest wait in seconds."""


@dataclass(frozen=True, slots=True)
class Summaries:
    """The summaries of some contacts: (contact, field) → digest and text."""

    by_field: dict[tuple[int, str], tuple[str, str | None]]

    def reader(self, contact_id: int, name: str) -> Callable[[str], str | None]:
        """Return a function from a digest to its summary, or None if there is none yet."""
        digest, text = self.by_field.get((contact_id, name), ("", None))
        return lambda wanted: text if wanted == digest else None


def of_contacts(contact_ids: Sequence[int]) -> Summaries:
    """Return the summaries of these contacts."""
    rows = Summary.objects.filter(contact__in=contact_ids)
    columns = rows.values_list("contact_id", "field", "digest", "state", "text")
    return Summaries(
        {
            (contact_id, name): (digest, text if state == Summary.State.DONE else None)
            for contact_id, name, digest, state, text in columns
        }
    )


def request(values: Sequence[tuple[int, str, FoldedValue]], known: Summaries) -> None:
    """Request the summaries that (contact, field) need, and drop those of other texts.

    Rows are locked in the order of contacts and fields, as where summaries are recorded.
    """
    wanted, gone = [], []
    for contact_id, name, value in sorted(values, key=lambda row: row[:2]):
        digest, _ = known.by_field.get((contact_id, name), ("", None))
        if value.digest and value.digest != digest:
            wanted.append((contact_id, name, value.digest))
        elif digest and not value.digest:
            gone.append((contact_id, name))
    if gone:
        _execute(_DROP, gone)
    if wanted:
        _execute(_REQUEST, wanted, before=[GATHER], after=[GATHER_LIMIT])


def drop(fields: Sequence[tuple[int, str]]) -> None:
    """Delete the summaries of (contact, field), whatever their state."""
    if fields:
        _execute(_DROP, sorted(set(fields)))


_DROP = """
DELETE FROM mappings_summary WHERE id IN (
  SELECT s.id FROM mappings_summary s
  JOIN unnest(%s::bigint[], %s::text[]) AS v(contact_id, field)
    ON v.contact_id = s.contact_id AND v.field = s.field
  ORDER BY s.contact_id, s.field FOR UPDATE OF s)
"""

# A summary that waits is put off while texts arrive. `created_at` is when the first of them did.
_REQUEST = """
INSERT INTO mappings_summary AS s (contact_id, field, digest, state, text, model, error_code,
  error_message, not_before)
SELECT v.contact_id, v.field, v.digest, 'pending', '', '', '', '',
  now() + make_interval(secs => %s)
FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS v(contact_id, field, digest)
ORDER BY v.contact_id, v.field
ON CONFLICT (contact_id, field) DO UPDATE SET digest = excluded.digest, state = 'pending',
  text = '', model = '', error_code = '', error_message = '', attempts = 0, tries = 0,
  lease_token = NULL, lease_until = NULL, finished_at = NULL,
  created_at = CASE WHEN s.state = 'pending' THEN s.created_at ELSE now() END,
  not_before = CASE WHEN s.state = 'pending'
    THEN least(excluded.not_before,
      s.created_at + make_interval(secs => %s))
    ELSE excluded.not_before END
"""


def _execute(
    statement: str,
    rows: Sequence[tuple[int | str, ...]],
    before: Sequence[float] = (),
    after: Sequence[float] = (),
) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(statement, [*before, *columns, *after])

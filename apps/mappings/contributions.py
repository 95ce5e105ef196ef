"""Record the contributions of conversations to contacts.

Contributions mark their contacts, and `folds` computes the values of marked contacts. So recording
results locks no contact, and ten conversations of one contact cost one write of it.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from apps.contacts.values import BUILT_IN_SPECS, FieldType, ValueSpec, read
from apps.conversations.results import NewResult
from apps.core.database import key_array

from . import marks, summary_requests
from .models import Contribution


def concerns(conversation_ids: Sequence[int]) -> bool:
    """Return whether `contribute` does anything for results of these conversations.

    Where it doesn't, their values need not be read.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS ({_LOAD})", [key_array(conversation_ids)])
        return bool(cursor.fetchone()[0])


def contribute(results: Sequence[NewResult]) -> None:
    """Replace the contributions of conversations by those of their new current results.

    Call this in the transaction that makes the results current, with their conversations locked.
    It runs two statements for any number of results, and one if there are no mappings.
    """
    if not results:
        return
    ids = [result.conversation_id for result in results]
    rules = _Rules.for_conversations(ids)
    if rules is None:
        return
    rows = [row for result in results for row in rules.rows(result)]
    with connection.cursor() as cursor:
        cursor.execute(_REPLACE, {"ids": ids, "rows": json.dumps(rows, ensure_ascii=False)})
        marked = cursor.fetchone()[0]
    if marked:
        marks.request_fold()


def forget_conversations(conversation_ids: Sequence[int]) -> list[int]:
    """Delete the contributions of these conversations, and the summaries made of them.

    Call this in the transaction that erases the conversations, with their locks, before deletion.
    Return the contacts that must be folded again.
    """
    said = Contribution.objects.filter(conversation__in=conversation_ids)
    touched = said.filter(conversation__contact__isnull=False).order_by().distinct()
    fields = list(touched.values_list("conversation__contact_id", "field"))
    said.delete()
    summary_requests.drop(fields)
    return sorted({contact_id for contact_id, _ in fields})


@dataclass(frozen=True, slots=True)
class _Rule:
    analysis_field: str
    mode: str
    spec: ValueSpec


@dataclass(frozen=True, slots=True)
class _Rules:
    """Mappings by agent (None: all agents) and contact field."""

    by_agent: dict[int | None, dict[str, _Rule]]

    @classmethod
    def for_conversations(cls, ids: Sequence[int]) -> "_Rules | None":
        """Load all mappings. Return None if there are none and these said nothing before."""
        by_agent: dict[int | None, dict[str, _Rule]] = {}
        with connection.cursor() as cursor:
            cursor.execute(_LOAD, [key_array(ids)])
            rows = cursor.fetchall()
        for agent_id, analysis_field, name, mode, kind, choices in rows:
            if analysis_field is None:
                continue
            spec = BUILT_IN_SPECS.get(name)
            if spec is None and kind is not None:
                spec = ValueSpec(FieldType(kind), tuple(choices))
            if spec is not None:
                by_agent.setdefault(agent_id, {})[name] = _Rule(analysis_field, mode, spec)
        return cls(by_agent) if rows else None

    def rows(self, result: NewResult) -> Iterator[dict[str, Any]]:
        """Yield what a result contributes: an agent's own mapping goes before the general one."""
        own = self.by_agent.get(result.agent_id, {})
        for name, rule in {**self.by_agent.get(None, {}), **own}.items():
            reading = read(rule.spec, result.values.get(rule.analysis_field))
            if reading.value is not None or reading.problem:
                yield {
                    "conversation_id": result.conversation_id,
                    "analysis": result.analysis,
                    "field": name,
                    "mode": rule.mode,
                    "value": reading.value,
                    "problem": reading.problem,
                    "by": result.by,
                }


# With contributions of these conversations but no mapping there is one row without a field: what
# deleted mappings left goes with the next result.
_LOAD = """
SELECT m.agent_id, m.analysis_field, m.contact_field, m.mode, f.type, f.choices
FROM mappings_mapping m LEFT JOIN contacts_contactfield f ON f.name = m.contact_field
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL WHERE EXISTS (
  SELECT 1 FROM mappings_contribution WHERE conversation_id = ANY(%s::bigint[]))
"""

# Only contacts for which something differs are marked. All parts of the statement see the
# contributions as they were before it.
_REPLACE = """
WITH new AS MATERIALIZED (
  SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS v(conversation_id bigint, analysis text,
    field text, mode text, value jsonb, problem text, by text)
), old AS MATERIALIZED (
  SELECT conversation_id, field, mode, value, problem FROM mappings_contribution
  WHERE conversation_id = ANY(%(ids)s)
), gone AS (
  DELETE FROM mappings_contribution c WHERE c.conversation_id = ANY(%(ids)s)
  AND NOT EXISTS (SELECT 1 FROM new n
    WHERE n.conversation_id = c.conversation_id AND n.field = c.field)
), stored AS (
  INSERT INTO mappings_contribution (kind, conversation_id, analysis_public_id, field, mode, value,
    problem, at, by)
  SELECT 'conversation', n.conversation_id, n.analysis, n.field, n.mode, n.value, n.problem,
    v.sort_at, n.by
  FROM new n JOIN conversations_conversation v ON v.id = n.conversation_id
  ON CONFLICT (conversation_id, field) WHERE conversation_id IS NOT NULL
  DO UPDATE SET analysis_public_id = excluded.analysis_public_id, mode = excluded.mode,
    value = excluded.value, problem = excluded.problem, at = excluded.at, by = excluded.by
), changed AS (
  SELECT DISTINCT v.contact_id FROM new n FULL JOIN old o USING (conversation_id, field)
  JOIN conversations_conversation v ON v.id = conversation_id
  WHERE v.contact_id IS NOT NULL AND (n.mode IS DISTINCT FROM o.mode
    OR n.value IS DISTINCT FROM o.value OR n.problem IS DISTINCT FROM o.problem)
), marked AS (
  INSERT INTO mappings_pendingfold (contact_id) SELECT contact_id FROM changed RETURNING 1
)
SELECT count(*) FROM marked
"""

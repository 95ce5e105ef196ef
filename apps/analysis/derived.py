"""Derived fields of results: added when they are recorded, and of results that never are."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from apps.conversations.derived.evaluation import ResultFacts, definitions, derive
from apps.conversations.results import add_values, write_result_columns

from .current import lock_conversations


@dataclass(frozen=True, slots=True)
class NewOutput:
    """A recorded result, and its values, to which derived ones are added in place."""

    analysis_id: int
    facts: ResultFacts
    output: dict[str, Any]


_ADD = """
UPDATE analysis_analysis a SET output = coalesce(a.output, '{}') || v.added
FROM jsonb_to_recordset(%s::jsonb) AS v(id bigint, added jsonb) WHERE a.id = v.id
"""


def add_derived(results: Sequence[NewOutput]) -> None:
    """Compute the derived fields of results whose columns are written, and store them.

    Without derived fields, this is one query of a tiny table.
    """
    wanted = definitions() if results else []
    if not wanted:
        return
    derived = derive([one.facts for one in results], wanted)
    added: dict[int, Mapping[str, Any]] = {}
    for one in results:
        values = derived.get(one.facts.conversation_id)
        if values:
            one.output.update(values)
            added[one.analysis_id] = values
    if not added:
        return
    rows = [{"id": pk, "added": values} for pk, values in added.items()]
    with connection.cursor() as cursor:
        cursor.execute(_ADD, [json.dumps(rows, ensure_ascii=False)])
    add_values({pk: values for pk, values in derived.items() if values})


def values_if_recorded(
    rows: Sequence[Mapping[str, Any]], facts: Sequence[ResultFacts]
) -> dict[int, dict[str, Any]]:
    """Return the derived fields that results would have, by conversation, and store nothing.

    ``rows`` are the results as `write_result_columns` takes them, one per conversation: they are
    written for the rules to read, and rolled back.
    """
    wanted = definitions() if facts else []
    if not wanted:
        return {}
    with transaction.atomic():
        lock_conversations(one.conversation_id for one in facts)
        write_result_columns(rows)
        found = derive(facts, wanted)
        transaction.set_rollback(True)
    return found

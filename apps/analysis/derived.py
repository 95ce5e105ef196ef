"""Add derived fields to results, in the transaction that records them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from apps.conversations.derived.evaluation import ResultFacts, definitions, derive
from apps.conversations.results import add_values


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

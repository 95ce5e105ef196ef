"""Give results other derived values: each as a new analysis, without a request to a model.

Call it in a transaction that holds the locks of the conversations.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.utils import timezone

from apps.conversations.models import Trigger
from apps.conversations.results import NewResult, replace_values
from apps.core.database import key_array
from apps.mappings.contributions import concerns

from .copies import Copy, copy_results, outputs_of
from .effects import SideEffects, emit_events
from .results import changed_fields, distribute, retire


@dataclass(frozen=True, slots=True)
class Recomputed:
    """A current result and its derived values, those before and those from now on."""

    conversation_id: int
    analysis_id: int
    agent_id: int
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    @property
    def changes(self) -> list[str]:
        return changed_fields(self.before, self.after)


def store_recomputed(
    results: Sequence[Recomputed],
    *,
    names: Sequence[str],
    run: str,
    by: str,
    effects: SideEffects,
) -> dict[int, int]:
    """Replace the values of the fields ``names`` in current results, for a run by its public ID.

    Return the new analysis of each conversation.
    """
    if not results:
        return {}
    retire([one.conversation_id for one in results])
    copies = copy_results(
        [one.analysis_id for one in results],
        trigger=Trigger.COMPUTED,
        run=run,
        by=by,
        effects=effects,
        at=timezone.now(),
        names=names,
        added={one.analysis_id: one.after for one in results},
    )
    replace_values(names, {one.conversation_id: one.after for one in results})
    emit_events(
        {
            copies[one.analysis_id].key: one.changes
            for one in results
            if effects.notifies(one.changes)
        }
    )
    distribute(_new_results(results, copies, by, effects))
    return {one.conversation_id: copies[one.analysis_id].key for one in results}


def _new_results(
    results: Sequence[Recomputed], copies: Mapping[int, Copy], by: str, effects: SideEffects
) -> list[NewResult]:
    """Return the results that are current now. Values are read only where a mapping needs them."""
    read = effects.contacts and concerns([one.conversation_id for one in results])
    outputs = outputs_of([copy.key for copy in copies.values()]) if read else {}
    return [
        NewResult(
            conversation_id=one.conversation_id,
            agent_id=one.agent_id,
            analysis=copy.public_id,
            values=outputs[copy.key][0] if read else {},
            trigger=Trigger.COMPUTED,
            by=by,
            contacts=effects.contacts,
            replaces=True,
        )
        for one in results
        for copy in [copies[one.analysis_id]]
    ]


_CURRENT = """
SELECT a.conversation_id, a.id, v.agent_id, a.field_order::text,
  (SELECT coalesce(jsonb_object_agg(f.name, a.output -> f.name), '{}')
   FROM unnest(%s::text[]) AS f(name) WHERE a.output ? f.name)::text
FROM analysis_analysis a JOIN agents_agentversion v ON v.id = a.agent_version_id
WHERE a.is_current AND a.conversation_id = ANY(%s::bigint[])
"""


@dataclass(frozen=True, slots=True)
class CurrentResult:
    """The current result of a conversation; ``values`` are those of the fields asked for."""

    conversation_id: int
    analysis_id: int
    agent_id: int
    asked: tuple[str, ...]
    values: Mapping[str, Any]


def current_results(
    conversation_ids: Sequence[int], names: Sequence[str]
) -> dict[int, CurrentResult]:
    """Return the current results of conversations, with their values of the fields ``names``."""
    with connection.cursor() as cursor:
        cursor.execute(_CURRENT, [list(names), key_array(conversation_ids)])
        return {
            pk: CurrentResult(pk, key, agent, tuple(json.loads(order)), json.loads(values))
            for pk, key, agent, order, values in cursor.fetchall()
        }

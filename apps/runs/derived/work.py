"""Recompute a derived field of past results: a run that asks no model.

The definition is frozen when the run starts. Each conversation whose values change gets a new
result, so that the report and the rollback are those of any run.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef, Q
from django.db.models.fields.json import KeyTransform

from apps.agents.models import DerivedField, DerivedType
from apps.analysis.effects import side_effects_of
from apps.analysis.models import Analysis
from apps.analysis.recomputed import Recomputed, current_results, store_recomputed
from apps.analysis.results import changed_fields
from apps.conversations.derived.definitions import Definition, definition_of
from apps.conversations.derived.evaluation import ResultFacts, derive, with_matches
from apps.conversations.filters import RuleFields
from apps.conversations.models import (
    AnalysisState,
    Conversation,
    ConversationQuerySet,
)
from apps.core.database import sql_of
from apps.runs.models import Kind, Run, RunItem
from apps.runs.selection import Keys, freeze_results
from apps.runs.starting import question_hash, sign


@dataclass(frozen=True, slots=True)
class Flip:
    """How many results change from one value to another; None for no value."""

    before: Any
    after: Any
    count: int


@dataclass(frozen=True, slots=True)
class RecomputePreview:
    """What recomputing a field would change. ``flips`` are of ``flips_of``, the most first.

    ``listed`` counts the results that the run looks at: also those that the field no longer
    applies to.
    """

    field: DerivedField
    listed: int
    results: int
    changed: int
    flips_of: str
    flips: tuple[Flip, ...] = ()

    @property
    def question(self) -> str:
        return question_hash(self.field.channel, {}, Kind.DERIVED.value, frozen(self.field))

    @property
    def token(self) -> str:
        """Return the token that agrees to this preview."""
        data = {
            "asked": self.question,
            "changed": self.changed,
            "results": self.results,
            "listed": self.listed,
        }
        return sign(data, kind=Kind.DERIVED)


def frozen(field: DerivedField) -> dict[str, Any]:
    """Return a field as a run keeps it."""
    return {
        "name": field.name,
        "type": field.type,
        "channel": field.channel,
        "agent": field.agent_id,
        "definition": field.definition,
    }


def preview_recompute(field: DerivedField) -> RecomputePreview:
    """Count the results whose values would change, and how, in one query.

    ``field`` may be unsaved. Raises InvalidDerivedField where a rule can't be read.
    """
    definition = definition_of(field, RuleFields(field.channel, derived=False))
    shown = _shown(field)
    flips: Counter[tuple[str, str]] = Counter()
    listed = results = changed = 0
    for in_scope, held, matches, count in _groups(definition):
        before = {name: value for name, value in held.items() if value is not None}
        after = definition.values(matches) if in_scope else {}
        listed += count
        results += count if in_scope else 0
        if changed_fields(before, after):
            changed += count
            flips[json.dumps(before.get(shown)), json.dumps(after.get(shown))] += count
    found = tuple(
        Flip(json.loads(before), json.loads(after), count)
        for (before, after), count in flips.most_common()
        if before != after
    )
    return RecomputePreview(field, listed, results, changed, shown, found)


def _shown(field: DerivedField) -> str:
    """Return the name whose values a preview counts: whether a scorecard is passed."""
    return f"{field.name}_passed" if field.type == DerivedType.NUMBER else field.name


def _candidates(definition: Definition) -> ConversationQuerySet:
    """Return the conversations that the field applies to, and those that have a value of it."""
    rows = Conversation.objects.filter(
        channel=definition.channel, analysis_state=AnalysisState.SUCCEEDED
    ).annotate(in_scope=Exists(_applying(definition)))
    return rows.filter(
        Q(in_scope=True) | Q(analysis_data__has_any_keys=list(definition.names))
    ).order_by()


def _applying(definition: Definition) -> Any:
    """Return the current result of a conversation, where the definition applies to it."""
    found = Analysis.objects.current().filter(conversation=OuterRef("pk"))
    if definition.agent_id is not None:
        found = found.filter(agent_version__agent=definition.agent_id)
    if definition.inputs:
        found = found.filter(field_order__has_any_keys=sorted(definition.inputs))
    return found.exclude(field_order__has_any_keys=list(definition.names))


def _groups(
    definition: Definition,
) -> list[tuple[bool, dict[str, Any], Sequence[bool], int]]:
    """Return results in groups of equal values and matches: scope, values, matches, count."""
    held = [f"held_{number}" for number in range(len(definition.names))]
    rows, matches = with_matches(_candidates(definition), [definition])
    values = {
        key: KeyTransform(name, "analysis_data")
        for key, name in zip(held, definition.names, strict=True)
    }
    columns = ["in_scope", *held, *matches]
    sql, params = sql_of(rows.annotate(**values).values_list(*columns))
    places = ", ".join(str(place + 1) for place in range(len(columns)))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT s.*, count(*) FROM ({sql}) AS s({', '.join(columns)}) GROUP BY {places}",
            params,
        )
        return [
            (
                row[0],
                {
                    name: None if text is None else json.loads(text)
                    for name, text in zip(definition.names, row[1:], strict=False)
                },
                row[1 + len(held) : -1],
                row[-1],
            )
            for row in cursor.fetchall()
        ]


def list_results(run: Run, keys: Keys, limit: int) -> int:
    """Write up to ``limit`` items of a recomputation for the conversations with these keys."""
    found = keys.of(_candidates(_definition(run))).filter(created_at__lte=run.as_of)
    return freeze_results(run, found, limit=limit)


def _definition(run: Run) -> Definition:
    """Return the definition that a run keeps. Raises InvalidDerivedField."""
    kept = run.options["derived"]
    field = DerivedField(
        name=kept["name"],
        type=kept["type"],
        channel=kept["channel"],
        agent_id=kept["agent"],
        definition=kept["definition"],
    )
    return definition_of(field, RuleFields(run.channel, derived=False))


_MARK = """
UPDATE runs_runitem i SET finished_at = clock_timestamp(), state = v.state,
  skip_reason = v.why, analysis_id = v.analysis, previous_analysis_id = v.previous,
  previous_state = 'succeeded', previous_reason = '', changed = v.changed
FROM jsonb_to_recordset(%s::jsonb) AS v(id bigint, state text, why text, analysis bigint,
  previous bigint, changed boolean)
WHERE i.id = v.id
"""


def recompute_batch(run: Run, item_ids: Sequence[int]) -> None:
    """Recompute the locked items and mark them, in the caller's transaction."""
    definition = _definition(run)
    rows = RunItem.objects.filter(pk__in=item_ids, conversation__isnull=False).order_by()
    items = dict(rows.values_list("pk", "conversation_id"))
    results = _recomputed(definition, list(items.values()))
    changed = [one for one in results.values() if one.changes]
    stored = store_recomputed(
        changed,
        names=definition.names,
        run=run.public_id,
        by=run.created_by,
        effects=side_effects_of(run.options),
    )
    marks = [_mark(item, results.get(pk), stored) for item, pk in items.items()]
    with connection.cursor() as cursor:
        cursor.execute(_MARK, [json.dumps(marks)])


def _recomputed(definition: Definition, ids: Sequence[int]) -> dict[int, Recomputed]:
    """Return the values before and after of conversations that have a result."""
    current = current_results(ids, definition.names)
    facts = [
        ResultFacts(one.conversation_id, definition.channel, one.agent_id, one.asked)
        for one in current.values()
    ]
    derived = derive(facts, [definition])
    return {
        pk: Recomputed(pk, one.analysis_id, one.agent_id, one.values, derived.get(pk, {}))
        for pk, one in current.items()
    }


def _mark(item: int, result: Recomputed | None, stored: Mapping[int, int]) -> dict[str, Any]:
    """Return the row of `_MARK`: skipped where the conversation has no result anymore."""
    if result is None:
        return {"id": item, "state": "skipped", "why": "no_result", "changed": None}
    new = stored.get(result.conversation_id)
    return {
        "id": item,
        "state": "done",
        "why": "",
        "analysis": new or result.analysis_id,
        "previous": result.analysis_id if new else None,
        "changed": new is not None,
    }

"""What a run changed, field by field, counted by the database.

A value counts as changed where `apps.analysis.results.changed_fields` says so. Yes/no and choice
fields have their transitions; texts, lists and numbers are only filled, emptied or changed.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from apps.agents.models import AnalysisConfig
from apps.analysis.presentation import field_schemas
from apps.conversations.derived.definitions import derived_properties
from apps.core.histogram import Numbers, compared

from .changes import OF_RUN, PAIRS, ChangeFilter, Side, filled, short
from .models import Run

SHOWN_MEMBERS = 30
"""Members of a list that are counted by name, the most frequent first."""
_OPEN = {"text", "list", "number"}


@dataclass(frozen=True, slots=True)
class Transition:
    """How often one value became another. Both are JSON text, ``null`` for no value.

    ``example`` is the key of one of the items.
    """

    before: str
    after: str
    count: int
    example: int


@dataclass
class FieldReport:
    """What a run did to one field.

    ``before`` and ``after`` count values by their JSON text, ``null`` for no value; of a list
    they count members. ``numbers`` is only of a number field.
    """

    name: str
    kind: str
    changed: int = 0
    unchanged: int = 0
    filled: int = 0
    emptied: int = 0
    example: int | None = None
    transitions: list[Transition] = field(default_factory=list)
    before: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    numbers: tuple[Numbers, Numbers] | None = None

    @property
    def total(self) -> int:
        return self.changed + self.unchanged

    def link(self, kind: str, before: Side = None, after: Side = None) -> ChangeFilter:
        """Return the filter that opens the conversations behind a count."""
        return ChangeFilter(kind, self.name, before, after)

    def as_dict(self) -> dict[str, Any]:
        """Return the report of the field as the API shows it."""
        shown: dict[str, Any] = {
            "type": self.kind,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "filled": self.filled,
            "emptied": self.emptied,
            "transitions": [
                {"from": json.loads(t.before), "to": json.loads(t.after), "count": t.count}
                for t in self.transitions
            ],
        }
        if self.numbers:
            before, after = self.numbers
            return {**shown, "before": before.as_dict(), "after": after.as_dict()}
        return {**shown, "before": _counts_dict(self.before), "after": _counts_dict(self.after)}


def _counts_dict(counts: Counter[str]) -> dict[str, int]:
    return {short(value): count for value, count in counts.most_common()}


def report_of(run: Run) -> list[FieldReport]:
    """Return the fields of a run's results, the most changed first, in at most seven queries."""
    kinds = _kinds(run)
    if not kinds:
        return []
    reports = {name: FieldReport(name, kind) for name, kind in kinds.items()}
    _count_values(run, reports)
    _count_members(run, reports)
    _count_numbers(run, reports)
    order = list(kinds)
    found = [one for one in reports.values() if one.total]
    return sorted(found, key=lambda one: (-one.changed, order.index(one.name)))


_CONFIGS = f"""
SELECT DISTINCT config_id FROM (
  SELECT a.config_id {PAIRS} WHERE {OF_RUN} UNION ALL SELECT p.config_id {PAIRS} WHERE {OF_RUN}
) AS c WHERE config_id IS NOT NULL
"""
_OTHERS = f"""
SELECT DISTINCT name FROM (
  SELECT a.field_order, p.field_order AS old {PAIRS}
  WHERE {OF_RUN} AND (a.id IS NOT NULL AND a.config_id IS NULL
    OR p.id IS NOT NULL AND p.config_id IS NULL)
) AS r, jsonb_array_elements_text(coalesce(r.field_order, '[]') || coalesce(r.old, '[]')) AS name
"""


def _kinds(run: Run) -> dict[str, str]:
    """Return the type of each field: boolean, choice, number, list or text.

    A name that changed its type is text. So is one that only an imported result has.
    """
    of_run: list[int | str] = [run.pk, run.public_id]
    with connection.cursor() as cursor:
        cursor.execute(_CONFIGS, of_run * 2)
        ids = [pk for (pk,) in cursor.fetchall()]
        cursor.execute(_OTHERS, of_run)
        others = [name for (name,) in cursor.fetchall()]
    kinds: dict[str, str] = {}
    for config in AnalysisConfig.objects.filter(pk__in=ids).order_by("-pk"):
        for name, schema in field_schemas(config.parsed()).items():
            kind = _kind(schema)
            kinds[name] = kind if kinds.get(name, kind) == kind else "text"
    for name, schema in derived_properties(channel=run.channel).items():
        kinds.setdefault(name, _kind(schema))
    return kinds | {name: "text" for name in sorted(others) if name not in kinds}


def _kind(schema: Any) -> str:
    if not isinstance(schema, Mapping):
        return "text"
    types = schema.get("type")
    named = {types} if isinstance(types, str) else {t for t in types or () if t != "null"}
    if named == {"boolean"}:
        return "boolean"
    if "enum" in schema:
        return "choice"
    if named and named <= {"number", "integer"}:
        return "number"
    return "list" if named == {"array"} else "text"


# Of an open field only whether there is a value is kept, so that groups stay few.
_COUNTS = f"""
SELECT name, CASE WHEN open AND b IS NOT NULL THEN 'true' ELSE b END::text,
  CASE WHEN open AND a IS NOT NULL THEN 'true' ELSE a END::text,
  a IS DISTINCT FROM b, count(*), min(id)
FROM (
  SELECT i.id, f.name, f.open, {filled("p.output -> f.name")} AS b,
    {filled("a.output -> f.name")} AS a
  {PAIRS} CROSS JOIN unnest(%s::text[], %s::boolean[]) AS f(name, open) WHERE {OF_RUN}
) AS v GROUP BY 1, 2, 3, 4
"""


def _count_values(run: Run, reports: Mapping[str, FieldReport]) -> None:
    """Count what changed, and the values of each side, in one pass over the results."""
    opens = [one.kind in _OPEN for one in reports.values()]
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, [list(reports), opens, run.pk, run.public_id])
        for name, before, after, changed, n, example in cursor.fetchall():
            one, b, a = reports[name], _text(before), _text(after)
            if changed:
                _add_change(one, Transition(b, a, n, example))
            else:
                one.unchanged += n
            if one.kind in _OPEN:
                b, a = ("null" if side == "null" else '"set"' for side in (b, a))
            one.before[b] += n
            one.after[a] += n
    for one in reports.values():
        one.transitions.sort(key=lambda t: (-t.count, t.before, t.after))


def _add_change(one: FieldReport, change: Transition) -> None:
    one.changed += change.count
    one.filled += change.count if change.before == "null" else 0
    one.emptied += change.count if change.after == "null" else 0
    one.example = min(change.example, one.example or change.example)
    if one.kind not in _OPEN:
        one.transitions.append(change)


def _text(value: str | None) -> str:
    """Return JSON from the database as text in one spelling; ``null`` for no value."""
    return "null" if value is None else json.dumps(json.loads(value), ensure_ascii=False)


_SIDES = f"""
{PAIRS} CROSS JOIN unnest(%s::text[]) AS f(name)
CROSS JOIN LATERAL (VALUES ('before', p.output -> f.name), ('after', a.output -> f.name))
  AS s(side, value)
WHERE {OF_RUN}
"""
_MEMBERS = f"""
SELECT name, side, member::text, n FROM (
  SELECT v.name, v.side, m.member, count(*) AS n,
    row_number() OVER (PARTITION BY v.name, v.side ORDER BY count(*) DESC, m.member) AS place
  FROM (SELECT f.name, s.side, s.value {_SIDES} AND jsonb_typeof(s.value) = 'array') AS v
  CROSS JOIN LATERAL (
    SELECT DISTINCT e FROM jsonb_array_elements(v.value) AS e
    WHERE jsonb_typeof(e) NOT IN ('object', 'array')
  ) AS m(member)
  GROUP BY v.name, v.side, m.member
) AS ranked WHERE place <= %s
"""


def _count_members(run: Run, reports: Mapping[str, FieldReport]) -> None:
    """Count the members of lists, each once per conversation."""
    names = [name for name, one in reports.items() if one.kind == "list"]
    if not names:
        return
    for name in names:
        for counts in (reports[name].before, reports[name].after):
            counts.pop('"set"', None)
    with connection.cursor() as cursor:
        cursor.execute(_MEMBERS, [names, run.pk, run.public_id, SHOWN_MEMBERS])
        for name, side, member, n in cursor.fetchall():
            counts = reports[name].before if side == "before" else reports[name].after
            counts[_text(member)] += n


_NUMBERS = f"""
SELECT f.name, s.side, (s.value #>> '{{}}')::float8 AS number, count(*)
{_SIDES} AND jsonb_typeof(s.value) = 'number'
GROUP BY 1, 2, 3 ORDER BY 3
"""


def _count_numbers(run: Run, reports: Mapping[str, FieldReport]) -> None:
    names = [name for name, one in reports.items() if one.kind == "number"]
    if not names:
        return
    sides: dict[tuple[str, str], list[tuple[float, int]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_NUMBERS, [names, run.pk, run.public_id])
        for name, side, value, n in cursor.fetchall():
            sides.setdefault((name, side), []).append((value, n))
    for name in names:
        before, after = sides.get((name, "before"), []), sides.get((name, "after"), [])
        reports[name].numbers = compared(before, after)

"""Roll back a run: its preview, its frozen list, and the restoring of a batch.

An item is restored only where the run's result is still the current one. Everything else is left
alone, and its item says why.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from apps.analysis.effects import side_effects_of
from apps.analysis.restores import Earlier, restore_many
from apps.conversations.filters import matching, parse
from apps.core.database import key_array, sql_of
from apps.core.errors import BadRequest
from apps.runs.changes import PARAMETERS, ChangeFilter, item_ids, read_change
from apps.runs.models import Kind, Run, SkipReason
from apps.runs.selection import EVERY_KEY, Keys

_WHY_LEFT = """
CASE
  WHEN o.conversation_id IS NULL THEN 'erased'
  WHEN o.state <> 'done'
    OR coalesce(a.backfill_public_id, %(none)s) <> %(public_id)s THEN 'no_result'
  WHEN cur.id IS NOT DISTINCT FROM o.analysis_id THEN ''
  WHEN cur.id IS NULL OR cur.trigger = 'restored' THEN 'restored_since'
  ELSE 'rerun_since'
END
"""
_STANDING = """
FROM runs_runitem o
LEFT JOIN analysis_analysis a ON a.id = o.analysis_id
LEFT JOIN analysis_analysis cur ON cur.conversation_id = o.conversation_id AND cur.is_current
"""


@dataclass(frozen=True)
class Selection:
    """The items of a run that a rollback looks at: all, or those of a filter.

    ``params`` are filters of conversations as on the history pages, in normal form.
    """

    run: Run
    params: Mapping[str, Sequence[str]] = field(default_factory=dict)
    change: ChangeFilter | None = None

    def filters(self) -> dict[str, list[str]]:
        """Return all filters as the rollback stores and shows them."""
        change = self.change.params() if self.change else {}
        return {name: list(values) for name, values in self.params.items()} | {
            name: [value] for name, value in change.items()
        }

    def sql(self, keys: Keys = EVERY_KEY) -> tuple[str, dict[str, Any]]:
        """Return a SELECT of the items and why each is left alone, empty for none.

        ``keys`` are those of items.
        """
        values = _values_of(self.run) | {"low": keys.low, "high": keys.high}
        conditions = ["o.run_id = %(of)s"]
        if keys.low is not None:
            conditions.append("o.id > %(low)s")
        if keys.high is not None:
            conditions.append("o.id <= %(high)s")
        if self.params:
            rows = matching(channel=self.run.channel, params=self.params).order_by()
            found = sql_of(rows.values("pk"))
            conditions.append(f"o.conversation_id IN ({_named(*found, 'm', values)})")
        if self.change is not None:
            one = item_ids(self.run.pk, self.run.public_id, self.change)
            conditions.append(f"o.id IN ({_named(*one, 'c', values)})")
        return (
            "SELECT o.id, o.conversation_id, o.config_id, o.agent_version_id,"
            f" o.previous_analysis_id, {_WHY_LEFT} AS why {_STANDING}"
            f" WHERE {' AND '.join(conditions)}"
        ), values


def _named(sql: str, params: Sequence[Any], prefix: str, values: dict[str, Any]) -> str:
    """Return the statement with named parameters, whose values are added to ``values``."""
    names = [f"{prefix}{number}" for number in range(len(params))]
    values.update(zip(names, params, strict=True))
    left = iter(names)
    return re.sub("%%|%s", lambda m: "%%" if m[0] == "%%" else f"%({next(left)})s", sql)


def _values_of(run: Run) -> dict[str, Any]:
    # An item of a rollback that went back to no result has no analysis to compare.
    none = run.public_id if run.kind == Kind.ROLLBACK else ""
    return {"of": run.pk, "public_id": run.public_id, "none": none}


def select(run: Run, given: Mapping[str, Any]) -> Selection:
    """Return the items that filters select. Raises FilterError and InvalidChange."""
    for name in ("sort", "columns"):
        if name in given:
            raise BadRequest(f"{name} is not a filter.", {name: "Not a filter."})
    change = read_change({n: _one(n, v) for n, v in given.items() if n in PARAMETERS})
    others = {name: value for name, value in given.items() if name not in PARAMETERS}
    return Selection(run, parse(run.channel, others).as_params() if others else {}, change)


def _one(name: str, value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if len(value) != 1:
        raise BadRequest(f"{name} takes one value.", {name: "Takes one value."})
    return value[0]


@dataclass(frozen=True)
class RollbackPreview:
    """What a rollback would do now. ``emptied`` of ``restore`` had no result before.

    ``left`` counts the items that are left alone, by reason.
    """

    selection: Selection
    restore: int
    emptied: int
    left: Mapping[str, int]

    @property
    def left_total(self) -> int:
        return sum(self.left.values())

    @property
    def listed(self) -> int:
        """Return how many items a rollback has."""
        return self.restore + self.left_total

    @property
    def left_in_words(self) -> list[tuple[int, str]]:
        """Return the reasons for people, each with its count, the most frequent first."""
        return [(n, str(SkipReason(why).label)) for why, n in self.left.items()]


def preview_rollback(selection: Selection) -> RollbackPreview:
    """Count the items that a rollback would restore or leave alone, in one query."""
    sql, values = selection.sql()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT why, count(*), count(*) FILTER (WHERE previous_analysis_id IS NULL)"
            f" FROM ({sql}) AS s GROUP BY why ORDER BY 2 DESC, 1",
            values,
        )
        rows = {why: (count, empty) for why, count, empty in cursor.fetchall()}
    restore, emptied = rows.pop("", (0, 0))
    return RollbackPreview(selection, restore, emptied, {why: n for why, (n, _) in rows.items()})


def list_restores(run: Run, keys: Keys, limit: int) -> int:
    """Write up to ``limit`` items of a rollback; how many. Those left alone already are skipped.

    ``keys`` are those of the items of the run that it undoes.
    """
    assert run.of is not None
    sql, values = select(run.of, run.filters).sql(keys)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO runs_runitem (run_id, conversation_id, config_id, agent_version_id,"
            " state, skip_reason, finished_at, error_code, error_message)"
            " SELECT %(rollback)s, conversation_id, config_id, agent_version_id,"
            " CASE why WHEN '' THEN 'pending' ELSE 'skipped' END, why,"
            " CASE why WHEN '' THEN NULL ELSE clock_timestamp() END, '', ''"
            f" FROM ({sql}) AS s ORDER BY id LIMIT %(limit)s",
            {**values, "rollback": run.pk, "limit": limit},
        )
        return int(cursor.rowcount)


#: What the undone run changed is what its rollback changes back.
_LOAD = f"""
SELECT i.id, i.conversation_id, o.previous_analysis_id, o.previous_state, o.previous_reason,
  {_WHY_LEFT} AS why, c.analysis_state, c.analysis_reason, cur.id, coalesce(o.changed, true)
FROM runs_runitem i
JOIN conversations_conversation c ON c.id = i.conversation_id
CROSS JOIN LATERAL (
  SELECT * FROM runs_runitem o WHERE o.run_id = %(of)s AND o.conversation_id = i.conversation_id
) o
LEFT JOIN analysis_analysis a ON a.id = o.analysis_id
LEFT JOIN analysis_analysis cur ON cur.conversation_id = o.conversation_id AND cur.is_current
WHERE i.id = ANY(%(items)s::bigint[])
"""

_MARK = """
UPDATE runs_runitem i SET state = 'done', analysis_id = v.analysis,
  previous_analysis_id = v.replaced, previous_state = v.state_before,
  previous_reason = v.reason_before, changed = v.changed, finished_at = clock_timestamp()
FROM jsonb_to_recordset(%s::jsonb) AS v(id bigint, analysis bigint, replaced bigint,
  state_before text, reason_before text, changed boolean)
WHERE i.id = v.id
"""
_SKIP = """
UPDATE runs_runitem i SET state = 'skipped', skip_reason = v.why, finished_at = clock_timestamp()
FROM unnest(%s::bigint[], %s::text[]) AS v(id, why) WHERE i.id = v.id
"""


@dataclass(frozen=True, slots=True)
class _Item:
    """A locked item of a rollback, with its previous result and the state of its conversation."""

    item_id: int
    conversation_id: int
    previous_id: int | None
    previous_state: str
    previous_reason: str
    why_left: str
    state: str
    reason: str
    current_id: int | None
    changed: bool

    def earlier(self) -> Earlier:
        return Earlier(
            conversation_id=self.conversation_id,
            analysis_id=self.previous_id,
            state=self.previous_state or "none",
            reason=self.previous_reason,
            replaces=self.current_id,
            changed=self.changed,
        )

    def mark(self, restored: Mapping[int, int]) -> dict[str, Any]:
        """Return the row of `_MARK`."""
        return {
            "id": self.item_id,
            "analysis": restored.get(self.conversation_id),
            "replaced": self.current_id,
            "state_before": self.state,
            "reason_before": self.reason,
            "changed": self.changed,
        }


def restore_batch(run: Run, item_ids: Sequence[int]) -> None:
    """Restore the locked items of a rollback and mark them, in the caller's transaction."""
    undone = run.of
    assert undone is not None
    with connection.cursor() as cursor:
        cursor.execute(_LOAD, {**_values_of(undone), "items": key_array(item_ids)})
        items = [_Item(*row) for row in cursor.fetchall()]
    wanted = [item for item in items if not item.why_left]
    restored = restore_many(
        [item.earlier() for item in wanted],
        run=run.public_id,
        by=run.created_by,
        effects=side_effects_of(run.options),
    )
    left = [item for item in items if item.why_left]
    with connection.cursor() as cursor:
        if wanted:
            cursor.execute(_MARK, [json.dumps([item.mark(restored) for item in wanted])])
        if left:
            cursor.execute(_SKIP, [[i.item_id for i in left], [i.why_left for i in left]])

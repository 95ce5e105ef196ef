"""Compare the results of a run with those before it, in SQL that agrees with `changed_fields`.

An empty text and an empty list are the same as no value. Everything else is compared as JSON.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models.expressions import RawSQL

from apps.core.errors import BadRequest, Example

from .models import Run

#: The results of a run: ``a`` is the new one and ``p`` the one before it. An item that was done
#: without a request has no result of the run. One of a rollback may have gone back to none.
PAIRS = """
FROM runs_runitem i
LEFT JOIN analysis_analysis a ON a.id = i.analysis_id
LEFT JOIN analysis_analysis p ON p.id = i.previous_analysis_id
"""
#: Of which run: its key, and its public ID.
OF_RUN = """
i.run_id = %s AND i.state = 'done' AND i.conversation_id IS NOT NULL
  AND (a.id IS NULL OR a.backfill_public_id = %s)
"""

NAMES = ("changed", "unchanged", "value")
#: Parameters in an address that select items by what a run changed.
SIDES = ("from", "to")
BOUNDS = ("gte", "lt", "lte")
PARAMETERS = (*NAMES, *SIDES, *(f"{side}__{bound}" for side in SIDES for bound in BOUNDS))


class InvalidChange(BadRequest):
    """Raised for a filter of changes that is incomplete or contradicts itself."""

    code = "invalid_filter"
    example = Example("from and to need one of changed, unchanged, value.")


def filled(value: str) -> str:
    """Return SQL for a JSON value that is NULL where it counts as no value."""
    return f"nullif(nullif(nullif({value}, 'null'), '\"\"'), '[]')"


@dataclass(frozen=True, slots=True)
class Span:
    """Numbers from ``low`` up to ``high``, which is one of them only where ``closed``."""

    low: float
    high: float
    closed: bool = False

    def params(self, side: str) -> dict[str, str]:
        """Return the span as parameters of an address."""
        upper = "lte" if self.closed else "lt"
        return {f"{side}__gte": _number_text(self.low), f"{side}__{upper}": _number_text(self.high)}


def _number_text(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


Side = str | Span | None


@dataclass(frozen=True, slots=True)
class ChangeFilter:
    """Items by what a run did to one field.

    ``kind`` is changed, unchanged, or value for either. ``before`` and ``after`` are JSON text,
    ``null`` for no value, numbers of a span, and None for any. A value also matches a list that
    contains it.
    """

    kind: str
    field: str
    before: Side = None
    after: Side = None

    def condition(self) -> tuple[str, list[Any]]:
        """Return a condition on the aliases of `PAIRS`, with its parameters."""
        before, after = filled("p.output -> %s"), filled("a.output -> %s")
        parts: list[str] = ["true"]
        params: list[Any] = []
        if self.kind != "value":
            same = "" if self.kind == "changed" else "NOT "
            parts.append(f"{before} IS {same}DISTINCT FROM {after}")
            params += [self.field, self.field]
        for side, value in ((before, self.before), (after, self.after)):
            if value == "null":
                parts.append(f"{side} IS NULL")
                params.append(self.field)
            elif isinstance(value, Span):
                # As JSON: a cast would fail on a row that the type would have left out.
                upper = "<=" if value.closed else "<"
                parts.append(
                    f"(jsonb_typeof({side}) = 'number' AND {side} >= %s::jsonb"
                    f" AND {side} {upper} %s::jsonb)"
                )
                low, high = _number_text(value.low), _number_text(value.high)
                params += [self.field, self.field, low, self.field, high]
            elif value is not None:
                parts.append(
                    f"({side} = %s::jsonb OR jsonb_typeof({side}) = 'array'"
                    f" AND {side} @> %s::jsonb)"
                )
                params += [self.field, value, self.field, self.field, value]
        return " AND ".join(parts), params

    def params(self) -> dict[str, str]:
        """Return the filter as parameters of an address."""
        found = {self.kind: self.field}
        for name, value in (("from", self.before), ("to", self.after)):
            if isinstance(value, Span):
                found |= value.params(name)
            elif value is not None:
                found[name] = short(value)
        return found


def read_change(data: Mapping[str, Any]) -> ChangeFilter | None:
    """Return the filter in an address or a body; None for none. Raises InvalidChange."""
    kinds = [name for name in NAMES if data.get(name)]
    if not kinds:
        if any(name in data for name in PARAMETERS if name not in NAMES):
            raise InvalidChange("from and to need one of changed, unchanged, value.")
        return None
    if len(kinds) > 1:
        raise InvalidChange("Use only one of changed, unchanged, value.")
    if not isinstance(data[kinds[0]], str):
        raise InvalidChange(f"{kinds[0]} must be the name of a field.")
    before, after = (_side(data, name) for name in SIDES)
    return ChangeFilter(kinds[0], data[kinds[0]].replace("\x00", ""), before, after)


def _side(data: Mapping[str, Any], name: str) -> Side:
    """Return the value or the span of one side. Raises InvalidChange."""
    bounds = [bound for bound in BOUNDS if f"{name}__{bound}" in data]
    if not bounds:
        return _json_text(data[name]) if name in data else None
    if name in data or len(bounds) != 2 or bounds[0] != "gte":
        raise InvalidChange(f"Use {name}, or {name}__gte with {name}__lt or {name}__lte.")
    low, high = (_bound(f"{name}__{bound}", data[f"{name}__{bound}"]) for bound in bounds)
    return Span(low, high, closed=bounds[1] == "lte")


def _bound(name: str, value: object) -> float:
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise InvalidChange(f"{name} must be a number.")
    return number


def short(value: str) -> str:
    """Return JSON text as an address shows it: a plain word has no quotes."""
    read = json.loads(value)
    return read if isinstance(read, str) and _json_text(read) == value else value


def _json_text(value: object) -> str:
    """Return a value as JSON text. Text that isn't JSON is taken as it is."""
    if isinstance(value, str):
        value = value.replace("\x00", "")
        try:
            return json.dumps(json.loads(value, parse_constant=str), ensure_ascii=False)
        except ValueError:
            pass
    return json.dumps(value, ensure_ascii=False)


def changed_items(run: Run, change: ChangeFilter) -> RawSQL:
    """Return the ids of a run's items that match, for a filter of items."""
    return RawSQL(*item_ids(run.pk, run.public_id, change))  # noqa: S611 (values are parameters)


def item_ids(run_pk: int, public_id: str, change: ChangeFilter) -> tuple[str, Sequence[Any]]:
    """Return a SELECT of the ids of a run's items that match, with its parameters."""
    condition, params = change.condition()
    return f"SELECT i.id {PAIRS} WHERE {OF_RUN} AND {condition}", [run_pk, public_id, *params]

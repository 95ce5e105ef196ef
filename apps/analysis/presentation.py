"""Fields, values and changes of results, as pages show them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from apps.agents.documents import ConfigDocument
from apps.core import display

from .models import Analysis
from .results import changed_fields, history_columns

Kind = Literal["text", "word", "number", "yes_no", "tags", "json"]

#: Longer JSON values are cut on a page; the raw data has them whole.
JSON_LIMIT = 20_000


# Fields and their values


@dataclass(frozen=True, slots=True)
class Value:
    """A value as a page draws it. ``scale`` is the range of a number, in words."""

    kind: Kind
    text: str
    items: tuple[str, ...] = ()
    scale: str = ""


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One field of a result. ``value`` is None where it is empty, and ``why`` says why."""

    name: str
    description: str = ""
    value: Value | None = None
    why: str = ""
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A field before and after. Without a change ``after`` is the value of both."""

    name: str
    changed: bool
    before: Value | None
    after: Value | None


@dataclass(frozen=True, slots=True)
class Result:
    """A result as a page shows it: the three history columns first, then the other fields."""

    analysis: Analysis
    outcome: str
    sentiment: str
    summary: str
    rows: tuple[FieldRow, ...]
    missing: tuple[str, ...]


def result_of(analysis: Analysis) -> Result:
    """Return a result as a page shows it; the fields of the header are not repeated."""
    output = analysis.output or {}
    columns: Mapping[str, str] = analysis.columns
    missing = tuple(analysis.missing_required)
    head = history_columns(output, columns, list(missing))
    shown = {columns.get(c) for c in ("summary", "outcome", "sentiment")}
    rows = field_rows(analysis)
    return Result(
        analysis=analysis,
        outcome="no" if missing else head.outcome,
        sentiment=head.sentiment,
        summary=head.summary,
        rows=tuple(r for r in rows if r.value is None or r.name not in shown),
        missing=missing,
    )


def field_rows(analysis: Analysis) -> list[FieldRow]:
    """Return every field that the result's config requested, in its order, then any others."""
    output = analysis.output or {}
    schemas = schemas_of(analysis)
    asked = list(analysis.field_order) if analysis.config_id is None else list(schemas)
    names = [*asked, *(name for name in output if name not in asked)]
    return [_field_row(n, output, schemas.get(n), analysis.missing_required) for n in names]


def schemas_of(analysis: Analysis) -> dict[str, Any]:
    """Return the JSON Schema of each field; for imported results, the agent version's."""
    config = analysis.config or analysis.agent_version.config
    return field_schemas(config.parsed())


def field_schemas(document: ConfigDocument) -> dict[str, Any]:
    """Return the JSON Schema of every field of a config, by name and in order."""
    properties: dict[str, Any] = document.answer_schema()["properties"]
    return properties


def _field_row(
    name: str, output: Mapping[str, Any], schema: object, missing: Sequence[str]
) -> FieldRow:
    rules = schema if isinstance(schema, dict) else {}
    description = str(rules.get("description") or "")
    value = value_of(output.get(name), rules)
    if value is not None:
        return FieldRow(name, description, value)
    if name in missing:
        why = "Empty, though required"
    elif condition := str(rules.get("x-condition") or "").strip().rstrip("."):
        why = f"Empty: only {_as_clause(condition)}"
    else:
        why = "Empty: not mentioned in the transcript"
    return FieldRow(name, description, None, why, missing=name in missing)


def _as_clause(condition: str) -> str:
    """Return a condition as part of a message: ``if the call was escalated``."""
    if not condition[1:2].isupper():
        condition = condition[0].lower() + condition[1:]
    return condition if condition.startswith("if ") else f"if {condition}"


def value_of(value: object, schema: object = None) -> Value | None:
    """Return a JSON value as a page draws it; None if it is empty."""
    rules = schema if isinstance(schema, dict) else {}
    if value is None or value in ("", []):
        return None
    if isinstance(value, bool):
        return Value("yes_no", "Yes" if value else "No")
    if isinstance(value, int | float):
        return Value("number", display.number(value), scale=_scale(rules))
    if isinstance(value, str):
        return Value("word" if "enum" in rules else "text", value)
    if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
        return Value("tags", "", items=tuple(_plain(item) for item in value))
    return Value("json", display.json_pretty(value)[:JSON_LIMIT])


def _plain(item: object) -> str:
    if isinstance(item, bool):
        return "Yes" if item else "No"
    return display.NOTHING if item is None else display.number(item)


def _scale(rules: Mapping[str, Any]) -> str:
    low, high = rules.get("minimum"), rules.get("maximum")
    if low is not None and high is not None:
        return f"of {display.number(low)}\u2013{display.number(high)}"
    if high is not None:
        return f"at most {display.number(high)}"
    return "" if low is None or low == 0 else f"at least {display.number(low)}"


def changes_between(before: Analysis | None, after: Analysis) -> list[Change]:
    """Return every field of two results, changed ones first, in the newer one's order."""
    old = before.ordered_output() if before else {}
    new = after.ordered_output()
    schemas = {**(schemas_of(before) if before else {}), **schemas_of(after)}
    differing = set(changed_fields(old, new))
    order = [*field_order(after), *(name for name in old if name not in field_order(after))]
    rows = [
        Change(n, n in differing, value_of(old.get(n), schemas.get(n)),
               value_of(new.get(n), schemas.get(n)))
        for n in order
        if n in old or n in new
    ]  # fmt: skip
    return sorted(rows, key=lambda change: not change.changed)


def field_order(analysis: Analysis) -> list[str]:
    """Return the names of a result's fields in the order of its config, then any others."""
    names = list(analysis.field_order)
    return [*names, *(name for name in analysis.output or {} if name not in names)]

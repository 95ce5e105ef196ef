"""What each keyword of JSON Schema 2020-12 may hold, in plain words.

The metaschema says the same, but running it takes seconds for a thousand fields, recurses, and
speaks of "not valid under any of the given schemas". The tests hold these rules against it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final, TypeGuard

TYPES: Final = ("string", "number", "integer", "boolean", "object", "array", "null")

Rule = Callable[[object], str | None]


def is_number(value: object) -> TypeGuard[int | float]:
    """Return a number of JSON; what overflowed to infinity is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) != inf


def show(value: object) -> str:
    """Return a value as a person would recognize it, short."""
    text = value if isinstance(value, str) else repr(value)
    return f"“{text[:60]}…”" if len(text) > 60 else f"“{text}”"


def _schema(value: object) -> str | None:
    if isinstance(value, dict | bool):
        return None
    if isinstance(value, list):
        return "must be a schema, not a list; for a list of fixed places use “prefixItems”"
    return f"must be a schema (an object), not {show(value)}"


def _schemas(value: object) -> str | None:
    if not isinstance(value, list) or not value:
        return "must be a list of at least one schema"
    return None


def _named_schemas(value: object) -> str | None:
    return None if isinstance(value, dict) else "must be an object of named schemas"


def _type(value: object) -> str | None:
    names = value if isinstance(value, list) else [value]
    for name in names:
        if name not in TYPES:
            return f"must be one of {', '.join(TYPES)}, not {show(name)}"
    if not names or len(set(names)) != len(names):
        return "must name each type once"
    return None


def _number(value: object) -> str | None:
    return None if is_number(value) else f"must be a number, not {show(value)}"


def _positive(value: object) -> str | None:
    if not is_number(value) or value <= 0:
        return f"must be a number above 0, not {show(value)}"
    return None


def _count(value: object) -> str | None:
    if not is_number(value) or value != int(value) or value < 0:
        return f"must be a whole number from 0, not {show(value)}"
    return None


def _string(value: object) -> str | None:
    return None if isinstance(value, str) else f"must be text, not {show(value)}"


def _boolean(value: object) -> str | None:
    return None if isinstance(value, bool) else f"must be true or false, not {show(value)}"


def _list(value: object) -> str | None:
    return None if isinstance(value, list) else f"must be a list, not {show(value)}"


def _choices(value: object) -> str | None:
    return None if isinstance(value, list) and value else "must be a list of at least one choice"


def _names(value: object) -> str | None:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        return "must be a list of names"
    if len(set(value)) != len(value):
        return "must name each field once"
    return None


def _name_lists(value: object) -> str | None:
    if not isinstance(value, dict) or any(_names(names) for names in value.values()):
        return "must be an object of lists of names"
    return None


RULES: Final[dict[str, Rule]] = {
    "type": _type,
    "enum": _choices,
    "title": _string,
    "description": _string,
    "$comment": _string,
    "format": _string,
    "pattern": _string,
    "$ref": _string,
    "$schema": _string,
    "$id": _string,
    "$anchor": _string,
    "x-condition": _string,
    "examples": _list,
    "readOnly": _boolean,
    "writeOnly": _boolean,
    "deprecated": _boolean,
    "uniqueItems": _boolean,
    "minimum": _number,
    "maximum": _number,
    "exclusiveMinimum": _number,
    "exclusiveMaximum": _number,
    "multipleOf": _positive,
    "required": _names,
    "dependentRequired": _name_lists,
    **dict.fromkeys(
        (
            *("minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains"),
            *("minProperties", "maxProperties"),
        ),
        _count,
    ),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _schemas),
    **dict.fromkeys(
        ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions"),
        _named_schemas,
    ),
    **dict.fromkeys(
        (
            *("items", "additionalProperties", "contains", "propertyNames", "not", "if", "then"),
            *("else", "unevaluatedItems", "unevaluatedProperties"),
        ),
        _schema,
    ),
}


def node_problem(node: dict[str, object]) -> tuple[str, str] | None:
    """Return the first keyword of a schema with an invalid value, and why."""
    for keyword, value in node.items():
        rule = RULES.get(keyword)
        if rule is not None and (reason := rule(value)):
            return keyword, f"“{keyword}” {reason}."
    return None

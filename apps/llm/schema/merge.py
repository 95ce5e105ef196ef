"""The rules of all schemas that judge one value, folded into one schema for the model's eyes.

Names of fields and items are put together elsewhere (``places``). What can't be folded is sent to
the model in words (``descriptions``); the response is held to the original in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from apps.llm.schema.json_text import Problem, SchemaError
from apps.llm.schema.limits import contradiction
from apps.llm.schema.nodes import Node
from apps.llm.schema.rules import is_number
from apps.llm.schema.subschemas import Place, nodes_of
from apps.llm.schema.validation import is_valid_alone
from apps.llm.schema.values import identity, is_type, plain_number, type_name

_BOUNDS: dict[str, Callable[[float, float], float]] = {
    **dict.fromkeys(
        (
            *("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"),
            "minContains",
        ),
        max,
    ),
    **dict.fromkeys(
        (
            *("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"),
            "maxContains",
        ),
        min,
    ),
}
_FIRST_WINS = ("pattern", "format", "multipleOf", "contains", "uniqueItems")

NUMBER_KEYWORDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_IMPLIED_TYPES = (
    (("properties", "required", "additionalProperties", "patternProperties"), "object"),
    (
        (
            *("dependentRequired", "dependentSchemas", "minProperties", "maxProperties"),
            *("propertyNames", "unevaluatedProperties"),
        ),
        "object",
    ),
    (("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"), "array"),
    (("unevaluatedItems",), "array"),
    (NUMBER_KEYWORDS, "number"),
    (("pattern", "format", "minLength", "maxLength"), "string"),
)
_UNTYPED = ("string", "number", "boolean", "array", "object", "null")


def implied_type(node: Mapping[str, object]) -> str | None:
    """Return the type that a schema without ``type`` speaks of, if any."""
    for keywords, name in _IMPLIED_TYPES:
        if any(keyword in node for keyword in keywords):
            return name
    return None


def merge(place: Place) -> Node:
    """Return one node with the types, choices and bounds of all. Raises ``SchemaError``.

    ``type`` is a list; it is missing where only alternatives say what the value is.
    """
    merged: Node = {}
    for node in nodes_of(place.nodes):
        for key, value in node.items():
            if key in _BOUNDS and is_number(value):
                there = merged.get(key)
                bound = _BOUNDS[key](there, value) if is_number(there) else value
                merged[key] = plain_number(bound)
            elif key in _FIRST_WINS:
                merged.setdefault(key, plain_number(value))
    if types := _types(place):
        merged["type"] = types
    choices = _choices(place, types)
    if choices is not None:
        merged["enum"] = choices
    elif reason := contradiction(merged):
        raise impossible(place, reason)
    return merged


def impossible(place: Place, why: str) -> SchemaError:
    """Return the error of a place where no value can be."""
    for keyword in ("allOf", "$ref"):
        for _node, pointer in place.having(keyword):
            return SchemaError(
                [Problem(f"{pointer}/{keyword}", f"“{keyword}” allows no value at all: {why}.")]
            )
    return SchemaError([Problem(place.pointer, f"No value can match this schema: {why}.")])


def _types(place: Place) -> list[str]:
    common: list[str] | None = None
    for node, _pointer in place.having("type"):
        declared = node["type"]
        names = [str(n) for n in declared] if isinstance(declared, list) else [str(declared)]
        common = names if common is None else _common_types(common, names)
        if not common:
            raise impossible(place, "its parts have no type in common")
    if common is not None:
        return common
    nodes = nodes_of(place.nodes)
    if any("enum" in node or "const" in node for node in nodes):
        return []
    implied = next((name for name in map(implied_type, nodes) if name), None)
    if implied:
        return [implied]
    return [] if place.choices else [_untyped(nodes)]


def _untyped(nodes: list[Node]) -> str:
    """An untyped field is text for the model, unless it says that it isn't."""
    excluded: set[object] = set()
    for node in nodes:
        forbidden = node.get("not")
        if isinstance(forbidden, dict) and set(forbidden) == {"type"}:
            kind = forbidden["type"]
            excluded |= set(kind) if isinstance(kind, list) else {kind}
    return next((name for name in _UNTYPED if name not in excluded), "string")


def _common_types(firsts: list[str], seconds: list[str]) -> list[str]:
    common = [name for name in firsts if name in seconds]
    if "integer" not in common and (
        ("integer" in firsts and "number" in seconds)
        or ("number" in firsts and "integer" in seconds)
    ):
        common.append("integer")
    return common


def _choices(place: Place, types: list[str]) -> list[object] | None:
    """Return the values that every ``enum`` and ``const`` and the types allow; None without any."""
    common: dict[object, object] | None = None
    for node in nodes_of(place.nodes):
        listed = []
        if isinstance(values := node.get("enum"), list):
            listed.append(values)
        if "const" in node:
            listed.append([node["const"]])
        for values in listed:
            found = {identity(value): plain_number(value) for value in reversed(values)}
            found = dict(reversed(found.items()))
            if common is None:
                common = found
                continue
            common = {key: value for key, value in common.items() if key in found}
            if not common:
                raise impossible(place, "its parts have no choice in common")
    if common is None:
        return None
    fitting = [
        value
        for value in common.values()
        if (not types or any(is_type(value, name) for name in types)) and _fits(value, place)
    ]
    if not fitting:
        raise SchemaError(
            [Problem(f"{place.pointer}/enum", "None of the choices matches the field's type.")]
        )
    return fitting


def _fits(value: object, place: Place) -> bool:
    return all(is_valid_alone(value, node) for node in nodes_of(place.nodes))


def types_of_choices(values: list[object]) -> list[str]:
    """Return the types of some choices, in their order, each once."""
    return list(dict.fromkeys(type_name(value) for value in values))

"""``allOf`` folded into one schema, for the model's eyes; the answer is held to the original."""

from __future__ import annotations

from collections.abc import Callable

from apps.llm.schema.json_text import Problem, SchemaError
from apps.llm.schema.nodes import Node, resolve
from apps.llm.schema.rules import is_number

_BOUNDS: dict[str, Callable[[float, float], float]] = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), min),
}


def merge_all_of(root: Node, node: Node, pointer: str) -> Node:
    """``node`` without ``allOf``, its members merged in. Raises ``SchemaError``."""
    merged: Node = {key: value for key, value in node.items() if key != "allOf"}
    for part in _members(root, node, pointer, frozenset()):
        merged = _merge(merged, part, pointer)
    return merged


def merge_root(root: Node) -> Node:
    """The root with its ``$ref`` and ``allOf`` merged in. Raises ``SchemaError``."""
    if "$ref" not in root:
        return merge_all_of(root, root, "") if "allOf" in root else root
    parts = root.get("allOf")
    node = {key: value for key, value in root.items() if key != "$ref"}
    node["allOf"] = [*(parts if isinstance(parts, list) else []), {"$ref": root["$ref"]}]
    return merge_all_of(root, node, "")


def _members(root: Node, node: Node, pointer: str, seen: frozenset[str]) -> list[Node]:
    parts: list[Node] = []
    members = node.get("allOf")
    for member in members if isinstance(members, list) else []:
        if member is True:
            continue
        if not isinstance(member, dict):
            raise _unmergeable(pointer, "one of its parts allows nothing")
        parts += _flatten(root, member, pointer, seen)
    return parts


def _flatten(root: Node, member: Node, pointer: str, seen: frozenset[str]) -> list[Node]:
    parts = [{key: value for key, value in member.items() if key not in ("allOf", "$ref")}]
    ref = member.get("$ref")
    if isinstance(ref, str):
        if ref in seen:
            raise _unmergeable(pointer, f"“{ref}” contains itself")
        target = resolve(root, ref)
        if isinstance(target, dict):
            parts += _flatten(root, target, pointer, seen | {ref})
    return parts + _members(root, member, pointer, seen)


def _merge(first: Node, second: Node, pointer: str) -> Node:
    merged = dict(first)
    for key, value in second.items():
        merged[key] = _merge_keyword(key, merged[key], value, pointer) if key in merged else value
    return merged


def _merge_keyword(key: str, one: object, two: object, pointer: str) -> object:
    if key == "type":
        return _common_types(one, two, pointer)
    if key == "properties" and isinstance(one, dict) and isinstance(two, dict):
        return _merge_fields(one, two, f"{pointer}/properties")
    if key == "required" and isinstance(one, list) and isinstance(two, list):
        return list(dict.fromkeys([*one, *two]))
    if key == "enum" and isinstance(one, list) and isinstance(two, list):
        return _common_choices(one, two, pointer)
    if key in _BOUNDS and is_number(one) and is_number(two):
        return _BOUNDS[key](one, two)
    if key == "items" and isinstance(one, dict) and isinstance(two, dict):
        return _merge(one, two, f"{pointer}/items")
    # Of anything else the model sees the first; the answer is held to both by the original.
    return one


def _merge_fields(one: Node, two: Node, pointer: str) -> Node:
    fields = dict(one)
    for name, schema in two.items():
        there = fields.get(name)
        if isinstance(there, dict) and isinstance(schema, dict):
            if there.keys() & schema.keys() & {"$ref", "anyOf", "oneOf"}:
                continue
            fields[name] = _merge(there, schema, f"{pointer}/{name}")
        elif there is None or there is True:
            fields[name] = schema
    return fields


def _common_choices(one: list[object], two: list[object], pointer: str) -> list[object]:
    common = [value for value in one if value in two]
    if not common:
        raise _unmergeable(pointer, "its parts have no choice in common")
    return common


def _common_types(one: object, two: object, pointer: str) -> object:
    firsts = one if isinstance(one, list) else [one]
    seconds = two if isinstance(two, list) else [two]
    common = [name for name in firsts if name in seconds]
    if "integer" not in common and (
        ("integer" in firsts and "number" in seconds)
        or ("number" in firsts and "integer" in seconds)
    ):
        common.append("integer")
    if not common:
        raise _unmergeable(pointer, "its parts have no type in common")
    return common[0] if len(common) == 1 else common


def _unmergeable(pointer: str, why: str) -> SchemaError:
    return SchemaError(
        [Problem(f"{pointer}/allOf", f"“allOf” cannot be made into one schema: {why}.")]
    )

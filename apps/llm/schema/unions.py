"""Alternatives as strict mode takes them: one null, nothing twice."""

from __future__ import annotations

import json
from collections.abc import Sequence

from apps.llm.schema.nodes import Node
from apps.llm.schema.values import identity


def union(shapes: Sequence[Node]) -> Node:
    """Return one schema that any of these fit: null and equal schemas occur once."""
    flat: list[Node] = []
    for shape in shapes:
        inner = shape.get("anyOf")
        flat += inner if isinstance(inner, list) and set(shape) == {"anyOf"} else [shape]
    if sum(map(_admits_null, flat)) > 1:
        flat = [plain for shape in flat if (plain := _without_null(shape))]
        flat.append({"type": "null"})
    unique = list({json.dumps(shape): shape for shape in flat}.values())
    if len(unique) > 1 and all(set(s) == {"type", "enum"} for s in unique):
        kinds = {json.dumps(s["type"]) for s in unique}
        if len(kinds) == 1:
            values = [value for s in unique for value in _list(s["enum"])]
            return {
                "type": unique[0]["type"],
                "enum": list({identity(v): v for v in values}.values()),
            }
    return unique[0] if len(unique) == 1 else {"anyOf": unique}


def _admits_null(shape: Node) -> bool:
    if "anyOf" in shape:
        return any(_admits_null(s) for s in _list(shape["anyOf"]) if isinstance(s, dict))
    return "null" in _names(shape.get("type")) or shape.get("type") == "null"


def _without_null(shape: Node) -> Node:
    """Return the same without null; nothing where it is null alone."""
    if "anyOf" in shape:
        left = [p for s in _list(shape["anyOf"]) if isinstance(s, dict) and (p := _without_null(s))]
        return {**shape, "anyOf": left} if left else {}
    if not _admits_null(shape):
        return shape
    types = [name for name in _names(shape["type"]) if name != "null"]
    if not types:
        return {}
    plain = {**shape, "type": types[0] if len(types) == 1 else types}
    if isinstance(values := shape.get("enum"), list):
        plain["enum"] = [value for value in values if value is not None]
    return plain


def nullable(compiled: Node) -> Node:
    """Return the compiled schema of a field that may also come back null."""
    if "anyOf" in compiled:
        if _admits_null(compiled):
            return compiled
        return {**compiled, "anyOf": [*_list(compiled["anyOf"]), {"type": "null"}]}
    if "$ref" in compiled:
        return {"anyOf": [compiled, {"type": "null"}]}
    kind = compiled["type"]
    types = kind if isinstance(kind, list) else [kind]
    if "null" not in types:
        compiled = {**compiled, "type": [*types, "null"]}
    values = compiled.get("enum")
    if isinstance(values, list) and None not in values:
        compiled = {**compiled, "enum": [*values, None]}
    return compiled


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _names(value: object) -> list[str]:
    return [name for name in _list(value) if isinstance(name, str)]

"""Alternatives as strict mode takes them: one null, nothing twice."""

from __future__ import annotations

import json
from collections.abc import Sequence

from apps.llm.schema.nodes import Node, list_of, names_of
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
            values = [value for s in unique for value in list_of(s["enum"])]
            return {
                "type": unique[0]["type"],
                "enum": list({identity(v): v for v in values}.values()),
            }
    return unique[0] if len(unique) == 1 else {"anyOf": unique}


def _admits_null(shape: Node) -> bool:
    if "anyOf" in shape:
        return any(_admits_null(s) for s in list_of(shape["anyOf"]) if isinstance(s, dict))
    return "null" in names_of(shape.get("type")) or shape.get("type") == "null"


def _without_null(shape: Node) -> Node:
    """Return the same without null; nothing where it is null alone."""
    if "anyOf" in shape:
        left = [
            p for s in list_of(shape["anyOf"]) if isinstance(s, dict) and (p := _without_null(s))
        ]
        return {**shape, "anyOf": left} if left else {}
    if not _admits_null(shape):
        return shape
    types = [name for name in names_of(shape["type"]) if name != "null"]
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
        return {**compiled, "anyOf": [*list_of(compiled["anyOf"]), {"type": "null"}]}
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

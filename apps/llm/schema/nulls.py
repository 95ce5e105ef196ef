"""Fields that may be empty, in the other ways in which operators write it.

``"type": ["string", "null"]`` is how JSON Schema says it. ``null`` among the choices of a field
with another type, and OpenAPI's ``nullable``, mean the same.
"""

from __future__ import annotations

from apps.llm.schema.nodes import Node, list_of, walk
from apps.llm.schema.roots import OWN_SCHEMA


def allow_nulls(schema: Node) -> Node:
    """Return a schema whose nodes say by their type where null is allowed. Changes ``schema``."""
    for part in (schema, schema.get(OWN_SCHEMA)):
        for _pointer, node, _level in list(walk(part)):
            if not isinstance(node, dict):
                continue
            if node.get("nullable") is True:
                _allow_null(node)
            if "type" in node:
                node["type"] = types_with_null(node)
    return schema


def _allow_null(node: Node) -> None:
    if "type" not in node and "$ref" in node and "anyOf" not in node:
        node["anyOf"] = [{"$ref": node.pop("$ref")}, {"type": "null"}]
        return
    choices = node.get("enum")
    if isinstance(choices, list) and None not in choices:
        node["enum"] = [*choices, None]
    elif "type" in node:
        node["type"] = _and_null(node["type"])


def types_with_null(node: Node) -> object:
    """Return a node's type, and null where it is one of several choices."""
    kind, choices = node.get("type"), list_of(node.get("enum"))
    if kind is None:
        return None
    is_choice = None in choices and any(choice is not None for choice in choices)
    return _and_null(kind) if is_choice else kind


def _and_null(kind: object) -> object:
    types = kind if isinstance(kind, list) else [kind]
    return kind if "null" in types else [*types, "null"]

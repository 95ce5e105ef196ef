"""Walking a JSON Schema: its subschemas, pointers and references, without recursion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias
from urllib.parse import unquote

Node: TypeAlias = dict[str, object]

SINGLE = (
    "items",
    "additionalProperties",
    "contains",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
    "unevaluatedItems",
    "unevaluatedProperties",
)
LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
MAPS = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
IN_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")

_MISSING = object()


def escape(name: str) -> str:
    """Return a name as a JSON Pointer token (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def children(node: Mapping[str, object]) -> Iterator[tuple[str, str, object]]:
    """``(keyword, pointer suffix, subschema)`` of each direct subschema, in the node's order."""
    for keyword, value in node.items():
        if keyword in SINGLE:
            yield keyword, f"/{keyword}", value
        elif keyword in LISTS and isinstance(value, list):
            for index, item in enumerate(value):
                yield keyword, f"/{keyword}/{index}", item
        elif keyword in MAPS and isinstance(value, dict):
            for name, item in value.items():
                yield keyword, f"/{keyword}/{escape(str(name))}", item


def walk(root: object) -> Iterator[tuple[str, object, int]]:
    """``(pointer, subschema, level)`` for the root and all below, in document order.

    ``level`` counts how many values lie inside one another: properties and items descend, while
    alternatives and definitions describe the same place.
    """
    stack: list[tuple[str, object, int]] = [("", root, 1)]
    while stack:
        pointer, node, level = stack.pop()
        yield pointer, node, level
        if isinstance(node, dict):
            below = [
                (pointer + suffix, child, _level_below(keyword, child, level))
                for keyword, suffix, child in children(node)
            ]
            stack.extend(reversed(below))


def _level_below(keyword: str, child: object, level: int) -> int:
    if keyword in ("$defs", "definitions"):
        return 1
    if keyword in IN_PLACE or not isinstance(child, dict) or "properties" not in child:
        return level
    return level + 1


def resolve(root: object, ref: str) -> object:
    """Return what a local reference ``#…`` names. Raises ``LookupError`` where nothing is there."""
    target = root
    pointer = unquote(ref[1:])
    if pointer == "":
        return target
    if not pointer.startswith("/"):
        raise LookupError(ref)
    for token in pointer[1:].split("/"):
        name = token.replace("~1", "/").replace("~0", "~")
        found: object = _MISSING
        if isinstance(target, dict):
            found = target.get(name, _MISSING)
        elif isinstance(target, list) and name.isdecimal() and int(name) < len(target):
            found = target[int(name)]
        if found is _MISSING:
            raise LookupError(ref)
        target = found
    return target


def mapping_of(value: object) -> dict[str, object]:
    """Return a keyword's value where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def list_of(value: object) -> list[object]:
    """Return a keyword's value where it is an array, else an empty one."""
    return value if isinstance(value, list) else []


def names_of(value: object) -> list[str]:
    """Return the texts in a keyword's array."""
    return [name for name in list_of(value) if isinstance(name, str)]

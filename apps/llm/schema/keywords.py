"""Keywords that a schema may not hold, because they would be ignored without a word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from apps.llm.schema.limits import contradiction
from apps.llm.schema.nodes import Node
from apps.llm.schema.nulls import types_with_null
from apps.llm.schema.roots import OWN_SCHEMA
from apps.llm.schema.rules import RULES, show
from apps.llm.schema.validation import reason_alone
from apps.llm.schema.values import is_type

_BY_PATH = "is not supported; refer to a definition by its path, as “#/$defs/NAME”"
_UNSUPPORTED: Final = {
    "$anchor": _BY_PATH,
    "$dynamicAnchor": _BY_PATH,
    "$recursiveAnchor": _BY_PATH,
    "$dynamicRef": "is not supported; use “$ref”",
    "$recursiveRef": "is not supported; use “$ref”",
    "$vocabulary": "is not supported",
    "dependencies": "belongs to an older draft; use “dependentRequired” or “dependentSchemas”",
    "additionalItems": "belongs to an older draft; use “items” next to “prefixItems”",
    "divisibleBy": "belongs to an older draft; use “multipleOf”",
    "disallow": "belongs to an older draft; use “not”",
    "extends": "belongs to an older draft; use “allOf”",
    OWN_SCHEMA: "is a name that Debrief uses itself",
}
_NEEDS: Final = {"then": "if", "else": "if", "minContains": "contains", "maxContains": "contains"}
_KNOWN: Final = frozenset((*RULES, "const", "default", "$id", "$comment"))


def _plain(keyword: str) -> str:
    return re.sub(r"[^a-z]", "", keyword.casefold())


_BY_PLAIN: Final = {_plain(keyword): keyword for keyword in _KNOWN}


def keyword_problems(node: Node) -> Iterator[tuple[str, str]]:
    """Yield each keyword of a node that can't be used, and the reason as a message."""
    for keyword in node:
        if reason := _UNSUPPORTED.get(keyword):
            yield keyword, f"“{keyword}” {reason}."
        elif (needed := _NEEDS.get(keyword)) and needed not in node:
            yield keyword, f"“{keyword}” does nothing without “{needed}”."
        elif keyword not in _KNOWN and (meant := _BY_PLAIN.get(_plain(keyword))):
            yield keyword, f"{show(keyword)} is not a keyword; write it “{meant}”."
    if reason := contradiction(node):
        yield "", f"No value can fit: {reason}."
    else:
        yield from _choice_problems(node)


def _choice_problems(node: Node) -> Iterator[tuple[str, str]]:
    """Yield choices that the same node's type or limits forbid: no model can return them."""
    values = node.get("enum")
    keyword, choices = ("enum", values) if isinstance(values, list) else ("const", [])
    if keyword == "const" and "const" in node:
        choices = [node["const"]]
    kind = types_with_null(node)
    types = kind if isinstance(kind, list) else [kind] if isinstance(kind, str) else []
    wrong = [value for value in choices if types and not any(is_type(value, t) for t in types)]
    if wrong and len(wrong) == len(choices):
        yield keyword, "None of the choices matches the field's type."
    elif wrong:
        named = ", ".join(_named(value) for value in wrong[:5])
        yield keyword, f"Not of the field's type {' or '.join(types)}: {named}."
    else:
        for value in choices:
            if reason := reason_alone(value, {**node, "type": types} if types else node):
                yield keyword, f"The choice {_named(value)} does not fit this field: {reason}."
                return


def _named(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return show(value) if isinstance(value, str) else str(value)[:60]

"""A compiled schema as a grammar of llama.cpp: bounded and without blanks.

A small model that meets no limit repeats itself until it is truncated. So texts and lists get a
limit here, in the request only: the operator's own schema judges the response. The grammar is
llguidance's, which llama.cpp would also use for ``response_format``, but there it allows any
blanks between tokens, and a small model fills a third of its response with them.
"""

from __future__ import annotations

import json

from apps.llm.schema.nodes import Node

TEXT_CHARACTERS = 320
"""The longest text: about 45 words, which is what summaries are mostly asked to keep to."""

ITEM_CHARACTERS = 100
"""The longest text in a list."""

LIST_ITEMS = 5

_COMPACT: Node = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
_BRANCHES = ("anyOf", "items", "properties", "$defs", "additionalProperties")


def grammar(schema: Node) -> str:
    """Return the grammar of a compiled schema's responses."""
    options: Node = {"x-guidance": _COMPACT, **bounded(schema)}
    return "%llguidance {}\nstart: %json " + json.dumps(options, ensure_ascii=False)


def bounded(schema: Node, *, characters: int = TEXT_CHARACTERS) -> Node:
    """Return the schema with a limit for every text and list that has none, or a larger one.

    A smaller limit of the operator's stays, and so does a minimum above Debrief's.
    """
    node: Node = {key: value for key, value in schema.items() if key not in _BRANCHES}
    types = schema.get("type")
    names = types if isinstance(types, list) else [types]
    if "string" in names and "enum" not in schema:
        node["maxLength"] = _limit(schema, "Length", characters)
    if "array" in names:
        node["maxItems"] = _limit(schema, "Items", LIST_ITEMS)
    for key in _BRANCHES:
        value = schema.get(key)
        inner = ITEM_CHARACTERS if key == "items" else characters
        if key in ("properties", "$defs") and isinstance(value, dict):
            node[key] = {name: _branch(one, inner) for name, one in value.items()}
        elif isinstance(value, list):
            node[key] = [_branch(one, inner) for one in value]
        elif key in schema:
            node[key] = _branch(value, inner)
    return node


def _branch(value: object, characters: int) -> object:
    return bounded(value, characters=characters) if isinstance(value, dict) else value


def _limit(schema: Node, what: str, ours: int) -> int:
    least, most = schema.get(f"min{what}"), schema.get(f"max{what}")
    limit = min(ours, most) if isinstance(most, int) else ours
    return max(limit, least) if isinstance(least, int) else limit

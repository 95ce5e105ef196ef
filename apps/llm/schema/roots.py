"""The top of an operator's schema: one flat list of fields, whatever it is composed of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache

from apps.llm.schema.nodes import IN_PLACE, Node
from apps.llm.schema.subschemas import Located, Places

#: Holds an operator's own schema beside the flat fields of an answer: it alone judges its part.
OWN_SCHEMA = "x-own-schema"

_COMPOSED = (*IN_PLACE, "$ref", "dependentRequired")
_WHOLE = (
    *_COMPOSED,
    *("propertyNames", "minProperties", "maxProperties", "unevaluatedProperties"),
)
_WORDS = ("description", "title", "x-condition", "examples")
_KEPT = (
    *("$schema", "$id", "$comment", "title", "description", "$defs", "definitions"),
    "additionalProperties",
)


def is_composed(schema: Mapping[str, object]) -> bool:
    """Return whether fields may be elsewhere than in the schema's own ``properties``."""
    return any(keyword in schema for keyword in _COMPOSED)


def flat_root(schema: Node) -> Node:
    """Return the schema with all its fields under ``properties``. Raises ``SchemaError``.

    A schema that isn't composed is returned as it is. Fields of alternatives and conditions are
    optional; what makes them required is left out, and so are all other rules about the whole.
    """
    return _flat(json.dumps(schema, ensure_ascii=False)) if is_composed(schema) else schema


@lru_cache(maxsize=512)
def _flat(text: str) -> Node:
    schema: Node = json.loads(text)
    places = Places(schema)
    fields = places.fields(places.gather([Located(schema, "")], ""))
    flat: Node = {key: schema[key] for key in _KEPT if key in schema}
    return {
        **flat,
        "type": "object",
        "properties": {
            name: _told(places.all_of(found.schemas).schema) for name, found in fields.items()
        },
        "required": [name for name, found in fields.items() if found.required],
    }


def _told(schema: object) -> object:
    """A field with what the first of its parts says of it in words, for pages and prompts."""
    if not isinstance(schema, dict) or set(schema) not in ({"allOf"}, {"anyOf"}):
        return schema
    words: Node = {}
    for part in next(iter(schema.values())):
        for keyword in _WORDS:
            if isinstance(part, dict) and keyword in part:
                words.setdefault(keyword, part[keyword])
    return {**words, **schema}


def with_built_ins(own: Node, built_ins: Node, required: list[str]) -> Node:
    """Return the schema of a whole response: built-in categories, then the operator's fields.

    Where rules of the operator's schema speak of the whole object, it is set aside to judge its
    own fields alone: it knows nothing of the built-in ones.
    """
    flat = flat_root(own)
    left_out = ("properties", "required", OWN_SCHEMA)
    rest = {key: value for key, value in flat.items() if key not in left_out}
    fields = flat.get("properties")
    names = flat.get("required")
    made: Node = {
        **rest,
        "type": "object",
        "properties": {**built_ins, **(fields if isinstance(fields, dict) else {})},
        "required": [*required, *(names if isinstance(names, list) else [])],
    }
    if any(keyword in own for keyword in _WHOLE) or _mentions_root(own):
        made[OWN_SCHEMA] = own
    return made


def _mentions_root(own: Node) -> bool:
    return '"$ref": "#"' in json.dumps(own)

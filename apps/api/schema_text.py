"""Schemas as people read them: a row per field, nested ones by their path."""

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
_DEPTH = 4
_PLURAL = {"object": "objects", "text": "texts", "number": "numbers"}


def fields_of(document: Json, schema: Json | None) -> list[Json]:
    """Return the fields of a body: name, type in words, whether it is required, and meaning."""
    if schema is None:
        return []
    return list(_fields(document, _resolved(document, schema), "", 0))


def _fields(document: Json, schema: Json, prefix: str, depth: int) -> Iterator[Json]:
    required = set(schema.get("required", ()))
    for name, value in schema.get("properties", {}).items():
        inner = _resolved(document, value)
        path = f"{prefix}{name}"
        yield {
            "name": path,
            "type": type_in_words(document, value),
            "required": name in required,
            "description": value.get("description") or inner.get("description", ""),
        }
        nested = _nested(document, inner)
        if nested is not None and depth < _DEPTH:
            many = "[]" if inner.get("type") == "array" else ""
            yield from _fields(document, nested, f"{path}{many}.", depth + 1)


def _nested(document: Json, schema: Json) -> Json | None:
    """The object inside: of a list, of an alternative with null, or itself."""
    if schema.get("type") == "array":
        return _nested(document, _resolved(document, schema.get("items", {})))
    for choice in schema.get("anyOf", ()):
        found = _nested(document, _resolved(document, choice))
        if found is not None:
            return found
    return schema if "properties" in schema else None


def type_in_words(document: Json, schema: Json) -> str:
    """`text`, `number`, `list of objects`, `one of a, b, or null` …"""
    schema = _resolved(document, schema)
    if "anyOf" in schema:
        words = [type_in_words(document, choice) for choice in schema["anyOf"]]
        return " or ".join(dict.fromkeys(words))
    if "enum" in schema:
        return "one of " + ", ".join(str(value) for value in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        item = type_in_words(document, schema.get("items", {}))
        return f"list of {_PLURAL.get(item, item)}"
    names: dict[str, str] = {
        "string": "text",
        "boolean": "true or false",
        "integer": "whole number",
    }
    kind: str = schema.get("type", "anything")
    if schema.get("format") == "date-time":
        return "time"
    return names.get(kind, kind)


def _resolved(document: Json, schema: Json) -> Json:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Json = document["components"]["schemas"][reference.rsplit("/", 1)[-1]]
    return {**found, **{k: v for k, v in schema.items() if k != "$ref"}}

"""Values of JSON as JSON Schema compares them: true is not 1, and 1.0 is."""

from __future__ import annotations

from apps.llm.numbers import exact, is_too_large


def type_name(value: object) -> str:
    """Return the JSON Schema type of a value of JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def is_type(value: object, name: str) -> bool:
    """Return whether a value of JSON is of a JSON Schema type; 2.0 is an integer."""
    own = type_name(value)
    if own == name or (name == "number" and own == "integer"):
        return True
    return name == "integer" and isinstance(value, float) and value.is_integer()


def identity(value: object) -> object:
    """Return something hashable that is the same for values that are equal in JSON."""
    if isinstance(value, list):
        return ("list", *map(identity, value))
    if isinstance(value, dict):
        return ("object", frozenset((key, identity(item)) for key, item in value.items()))
    if isinstance(value, bool) or not isinstance(value, int | float) or is_too_large(value):
        return (type(value).__name__, value)
    return ("number", exact(value))


def plain_number(value: object) -> object:
    """Return 1.0 as 1: servers differ in whether they take the first for the second."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value

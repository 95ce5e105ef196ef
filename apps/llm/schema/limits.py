"""Limits that contradict each other, so that no value could ever fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from apps.llm.numbers import exact
from apps.llm.schema.rules import is_number

_PAIRS = (
    ("minLength", "maxLength", "string", "characters"),
    ("minItems", "maxItems", "array", "items"),
    ("minProperties", "maxProperties", "object", "fields"),
    ("minContains", "maxContains", "array", "items"),
    ("minContains", "maxItems", "array", "items"),
)

_NUMBERS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
_LIMITS = frozenset((*_NUMBERS, *(name for low, high, *_ in _PAIRS for name in (low, high))))


def contradiction(node: Mapping[str, object]) -> str:
    """Return why no value can keep to a schema's limits, or nothing.

    ``type`` may be a name or a list; limits of other types don't matter.
    """
    if _LIMITS.isdisjoint(node):
        return ""
    types = _types(node)
    for low_name, high_name, kind, _what in _PAIRS:
        low, high = node.get(low_name), node.get(high_name)
        if low_name == "minContains" and ("contains" not in node or low == 0):
            continue
        if _matters(types, (kind,)) and is_number(low) and is_number(high) and low > high:
            return f"“{low_name}” {low} is above “{high_name}” {high}"
    required, most = node.get("required"), node.get("maxProperties")
    if isinstance(required, list) and is_number(most) and len(required) > most:
        return f"“required” names {len(required)} fields and “maxProperties” is {most}"
    if _matters(types, ("number", "integer")):
        whole = types is not None and "integer" in types and "number" not in types
        return _numbers(node, whole=whole)
    return ""


def _types(node: Mapping[str, object]) -> tuple[object, ...] | None:
    kind = node.get("type")
    if kind is None:
        return None
    return tuple(kind) if isinstance(kind, list) else (kind,)


def _matters(types: tuple[object, ...] | None, kinds: Iterable[str]) -> bool:
    return types is None or any(kind in types for kind in kinds)


def _numbers(node: Mapping[str, object], *, whole: bool) -> str:
    lows = [(node[k], k) for k in ("minimum", "exclusiveMinimum") if is_number(node.get(k))]
    highs = [(node[k], k) for k in ("maximum", "exclusiveMaximum") if is_number(node.get(k))]
    for low, low_name in lows:
        for high, high_name in highs:
            assert is_number(low)
            assert is_number(high)
            outside = "exclusive" in low_name or "exclusive" in high_name
            if low > high or (low == high and outside):
                word = "above" if low > high else "the same as"
                return f"“{low_name}” {low} is {word} “{high_name}” {high}"
            step = node.get("multipleOf", 1 if whole else None)
            if is_number(step) and not _has_multiple(low, low_name, high, high_name, step):
                what = "whole number" if "multipleOf" not in node else f"multiple of {step}"
                return f"no {what} is between “{low_name}” {low} and “{high_name}” {high}"
    return ""


def _has_multiple(low: float, low_name: str, high: float, high_name: str, step: float) -> bool:
    size = exact(step)
    first = -(-exact(low) // size) * size
    if first == exact(low) and "exclusive" in low_name:
        first += size
    return first < exact(high) or (first == exact(high) and "exclusive" not in high_name)

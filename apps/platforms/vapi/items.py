"""Vapi: single items of a transcript, and results by their names."""

from collections.abc import Iterator, Mapping
from typing import Any

from apps.intake import content_parts
from apps.platforms.mapping import (
    Json,
    answered,
    message,
    milliseconds,
    objects,
    of_unknown_role,
    role_of,
    said,
    seconds,
    speaker,
    text,
)

_RESULTS = {"tool_call_result", "tool", "function"}
_TOOL_CALLS = {"tool_calls", "tool_call"}


def read_item(item: Mapping[str, Any], *, has_start: bool) -> Iterator[Json]:
    # Times of day run some seconds ahead of the recording; those since its start do not.
    role, at = role_of(item), seconds(item.get("secondsFromStart"))
    at = milliseconds(item.get("time")) if at is None or not has_start else at
    calls = [*objects(item.get("toolCalls")), *objects(item.get("tool_calls"))]
    if role in _RESULTS:
        words = answered(item, "result", "error", "message", "content")
        yield message("tool_result", words, at)
    elif (words := said(item)) or not calls:
        known = "" if role in _TOOL_CALLS else speaker(role)
        yield message(known, words, at) if known else of_unknown_role(role, words, at)
    for call in calls:
        yield message("tool_call", content_parts.tool_call(call).content, at)


def structured(value: object) -> Iterator[tuple[str, Any]]:
    """Results by their names; an object of several is one field each."""
    items = objects(list(value.values()) if isinstance(value, dict) else value)
    for item in items:
        result = item.get("result")
        if name := text(item.get("name")) or text(item.get("key")):
            yield name, result
        elif item and all(isinstance(inner, dict) for inner in item.values()) and result is None:
            yield from ((key, inner.get("result", inner)) for key, inner in item.items())
        elif isinstance(result, dict):
            yield from result.items()

"""Put a response together that a server streamed although it was not asked to."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

# Only these end a line of a stream: a text may hold any other kind of break.
_LINE_END = re.compile(r"\r\n|\n|\r")


def joined_events(text: str) -> dict[str, object] | None:
    """Return the events of a stream as one chat completion; ``None`` where there are none."""
    whole: dict[str, object] = {}
    message: dict[str, object] = {}
    calls: dict[int, dict[str, str]] = {}
    reason: object = None
    for line in _LINE_END.split(text):
        event = _event(line)
        if event is None:
            continue
        whole |= {k: v for k, v in event.items() if k not in {"choices", "object"} and v}
        if event.get("error"):
            reason = reason or "error"
        for choice in _objects(event.get("choices"))[:1]:
            reason = choice.get("finish_reason") or reason
            if choice.get("error"):
                whole["error"] = choice["error"]
            _take(message, calls, choice)
    if not (whole or message or calls):
        return None
    if calls:
        message["tool_calls"] = [{"function": call} for _, call in sorted(calls.items())]
    if message or calls or reason:
        whole["choices"] = [{"message": message, "finish_reason": reason}]
    return whole


def _event(line: str) -> dict[str, object] | None:
    if not line.startswith("data:"):
        return None
    try:
        value = json.loads(line[5:])
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _take(
    message: dict[str, object], calls: dict[int, dict[str, str]], choice: Mapping[str, object]
) -> None:
    """Add a choice's piece; a whole message replaces the pieces before it."""
    if isinstance(piece := choice.get("delta"), Mapping) and piece:
        _add(message, calls, piece)
    elif isinstance(whole := choice.get("message"), Mapping) and _says_something(whole):
        message.clear()
        calls.clear()
        _add(message, calls, whole)
    elif isinstance(choice.get("text"), str):
        _add(message, calls, {"content": choice["text"]})


def _says_something(message: Mapping[str, object]) -> bool:
    return any(message.get(key) for key in ("content", "refusal", "tool_calls", "function_call"))


def _add(
    message: dict[str, object], calls: dict[int, dict[str, str]], delta: Mapping[str, object]
) -> None:
    for key in ("content", "refusal", "reasoning_content", "reasoning"):
        piece = delta.get(key)
        if isinstance(piece, list):
            piece = "".join(str(part.get("text") or "") for part in _objects(piece))
        if isinstance(piece, str):
            message[key] = f"{message.get(key) or ''}{piece}"
    for place, call in enumerate(_objects(delta.get("tool_calls"))):
        index = call.get("index")
        _add_call(calls.setdefault(index if isinstance(index, int) else place, {}), call)
    if isinstance(function := delta.get("function_call"), Mapping):
        _add_call(calls.setdefault(0, {}), {"function": function})


def _add_call(kept: dict[str, str], call: Mapping[str, object]) -> None:
    function = call.get("function")
    if not isinstance(function, Mapping):
        return
    for key in ("name", "arguments"):
        piece = function.get(key)
        if isinstance(piece, dict):
            piece = json.dumps(piece, ensure_ascii=False)
        if isinstance(piece, str):
            kept[key] = kept.get(key, "") + piece


def _objects(value: object) -> list[Mapping[str, object]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []

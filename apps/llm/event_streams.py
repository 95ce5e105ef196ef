"""Put a response together that a server streamed although it was not asked to."""

from __future__ import annotations

import json
from collections.abc import Mapping


def joined_events(text: str) -> dict[str, object] | None:
    """Return the events of a stream as one chat completion; ``None`` where there are none."""
    whole: dict[str, object] = {}
    message: dict[str, object] = {}
    calls: dict[int, dict[str, str]] = {}
    reason: object = None
    for line in text.splitlines():
        event = _event(line)
        if event is None:
            continue
        whole |= {k: v for k, v in event.items() if k not in {"choices", "object"} and v}
        for choice in _objects(event.get("choices"))[:1]:
            reason = choice.get("finish_reason") or reason
            if choice.get("error"):
                whole["error"] = choice["error"]
            _add(message, calls, choice.get("delta") or choice.get("message"))
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


def _add(message: dict[str, object], calls: dict[int, dict[str, str]], delta: object) -> None:
    if not isinstance(delta, Mapping):
        return
    for key in ("content", "refusal", "reasoning_content", "reasoning"):
        if isinstance(piece := delta.get(key), str):
            message[key] = f"{message.get(key) or ''}{piece}"
    for place, call in enumerate(_objects(delta.get("tool_calls"))):
        index = call.get("index")
        kept = calls.setdefault(index if isinstance(index, int) else place, {})
        function = call.get("function")
        if isinstance(function, Mapping):
            for key in ("name", "arguments"):
                if isinstance(piece := function.get(key), str):
                    kept[key] = kept.get(key, "") + piece


def _objects(value: object) -> list[Mapping[str, object]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []

"""Find the response in a reply: in text, parts, a tool call, or whatever a server puts it in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_THOUGHTS = frozenset(("thinking", "reasoning", "redacted_thinking", "thought"))
_CALL_LISTS = ("tool_calls", "toolCalls")
_CALLS = ("function", "functionCall", "toolUse", "custom")
_ARGUMENTS = ("arguments", "input", "parameters", "args")
_ENVELOPES = ("output", "data", "result", "response", "results", "outputs", "predictions")
_TEXTS = ("output_text", "response", "generated_text", "text", "generation", "outputText")
_ENDS = ("done_reason", "stopReason", "stop_reason", "finish_reason")
_MESSAGE_KEYS = frozenset(("content", *_CALL_LISTS))
_REASONING = ("reasoning_content", "reasoning", "thinking")


@dataclass(frozen=True, slots=True)
class Carried:
    """What a reply holds. ``reasoning`` is what the model thought, apart from its response."""

    text: str = ""
    refusal: str = ""
    reasoning: str = ""
    reason: object = None
    """Why the response ended, in the server's words."""


def carried(reply: Mapping[str, object], tool_name: str) -> Carried | None:
    """Return what a reply's first choice with a response holds; ``None`` where it has no choice."""
    found = [
        _read(message, reason, tool_name)
        for message, reason in _choices(reply)
        if message or reason
    ]
    if not found:
        return None
    # Some gateways split one message: words in a choice, the call in the next.
    return next(
        (each for each in found if "{" in each.text),
        next((each for each in found if each.text.strip() or each.refusal), found[0]),
    )


def _choices(reply: Mapping[str, object]) -> Iterator[tuple[Mapping[str, object], object]]:
    """Yield each message of a reply, or of the reply that a gateway wraps, and why it ended."""
    own = list(_own_choices(reply))
    yield from own
    for key in () if own else _ENVELOPES:
        for inner in _objects(reply.get(key)):
            for message, reason in _own_choices(inner):
                yield message, reason or _end(reply)


def _end(reply: Mapping[str, object]) -> object:
    return next((reply[key] for key in _ENDS if reply.get(key)), None)


def _own_choices(reply: Mapping[str, object]) -> Iterator[tuple[Mapping[str, object], object]]:
    """Yield each message of a reply and why it ended, whichever protocol the server speaks."""
    for choice in _objects(reply.get("choices")):
        message = choice.get("message") or choice.get("delta")
        if not isinstance(message, dict):
            message = {"content": choice.get("text") or message}
        yield message, choice.get("finish_reason") or choice.get("native_finish_reason")
    for candidate in _objects(reply.get("candidates")):
        content = candidate.get("content")
        yield (content if isinstance(content, dict) else {}), candidate.get("finishReason")
    if isinstance(message := reply.get("message"), dict) and message.keys() & _MESSAGE_KEYS:
        yield message, _end(reply)
    if isinstance(reply.get("content"), list) and "stop_reason" in reply:
        yield {"content": reply["content"]}, reply.get("stop_reason")
    if isinstance(output := reply.get("output"), list):
        incomplete = reply.get("incomplete_details")
        reason = incomplete.get("reason") if isinstance(incomplete, dict) else None
        yield {"content": [part for item in _objects(output) for part in _flattened(item)]}, reason
    for key in _TEXTS:
        # Words alone under such a name may as well be an error.
        if isinstance(text := reply.get(key), str) and "{" in text and not reply.get("error"):
            yield {"content": text}, _end(reply)


def _flattened(item: Mapping[str, object]) -> list[object]:
    content = item.get("content")
    return list(content) if isinstance(content, list) else [item]


def _objects(value: object) -> list[Mapping[str, object]]:
    if isinstance(value, dict):
        return [value]
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _read(message: Mapping[str, object], reason: object, tool_name: str) -> Carried:
    parts = _Parts(message.get("content") or message.get("parts"))
    calls = [*_calls(message), *parts.calls]
    named = [arguments for name, arguments in calls if _is_named(name, tool_name)]
    texts = [*named, parts.text, *(arguments for _, arguments in calls), _text(message, "parsed")]
    said = [text for text in texts if text.strip()]
    reasoning = next((text for key in _REASONING if (text := _text(message, key))), parts.thoughts)
    refusal = message.get("refusal")
    return Carried(
        next((text for text in said if text.strip() != "{}"), said[0] if said else ""),
        refusal if isinstance(refusal, str) else parts.refusal,
        reasoning,
        reason,
    )


def _text(message: Mapping[str, object], key: str) -> str:
    """Return a text, or an object as JSON."""
    value = message.get(key)
    return value if isinstance(value, str) else _json(value) if isinstance(value, dict) else ""


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _is_named(name: str, tool_name: str) -> bool:
    """Return whether a call is of our tool; some servers put a prefix or a number to its name."""
    return name.rpartition(".")[2].partition(":")[0].strip().lower() == tool_name.lower()


def _calls(message: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return name and arguments of every call in a message."""
    listed = [call for key in _CALL_LISTS for call in _objects(message.get(key))]
    listed += _objects(message.get("function_call"))
    return [_call(call) for call in listed]


def _call(call: Mapping[str, object]) -> tuple[str, str]:
    inner = next((call[key] for key in _CALLS if call.get(key)), None)
    function = inner if isinstance(inner, dict) else call
    arguments = next((text for key in _ARGUMENTS if (text := _text(function, key))), "")
    return str(function.get("name") or ""), arguments


class _Parts:
    """The content of a message: a text, an object, or a list of parts of many types."""

    def __init__(self, content: object) -> None:
        self.text = ""
        self.thoughts = ""
        self.refusal = ""
        self.calls: list[tuple[str, str]] = []
        if isinstance(content, dict) and not self._is_part(content):
            self.text = _json(content)
        else:
            for part in content if isinstance(content, list) else [content]:
                self._take(part)

    @staticmethod
    def _is_part(value: Mapping[str, object]) -> bool:
        return "parts" in value or (
            isinstance(value.get("type"), str) and ("text" in value or "content" in value)
        )

    def _take(self, part: object) -> None:
        if isinstance(part, str):
            self.text += part
            return
        if not isinstance(part, dict):
            return
        kind = part.get("type")
        if (isinstance(kind, str) and kind in _THOUGHTS) or part.get("thought") is True:
            self.thoughts += _thought(part)
        elif kind == "refusal":
            self.refusal += str(part.get("refusal") or part.get("text") or "")
        elif any(key in part for key in _CALLS) or (
            "name" in part and any(key in part for key in _ARGUMENTS)
        ):
            self.calls.append(_call(part))
        else:
            self._take_text(part)

    def _take_text(self, part: Mapping[str, object]) -> None:
        if isinstance(nested := part.get("parts") or part.get("content"), list):
            for each in nested:
                self._take(each)
            return
        value = next((part[key] for key in ("text", "content", "json") if part.get(key)), None)
        if isinstance(value, dict) and isinstance(value.get("value"), str):
            value = value["value"]
        if isinstance(value, str):
            self.text += value
        elif isinstance(value, dict):
            self.text += _json(value)


def _thought(part: Mapping[str, object]) -> str:
    for key in ("thinking", "reasoning", "text"):
        value = part.get(key)
        if isinstance(value, str):
            return value
        if isinstance(value, list):
            return "".join(str(item.get("text") or "") for item in _objects(value))
    return ""

"""What a message says, out of the forms in which programs write it: text, parts, tool calls.

The parts are those of OpenAI's chat and responses formats, Anthropic's and Gemini's. A part that
no one knows is stored as its JSON: no content is lost.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

_TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
_MEDIA = {
    "image_url": "image",
    "input_image": "image",
    "image": "image",
    "input_audio": "audio",
    "audio": "audio",
    "output_audio": "audio",
    "video_url": "video",
    "video": "video",
    "file": "file",
    "input_file": "file",
    "document": "file",
}
_CALLS = {"tool_use", "tool_call", "function_call"}
_RESULTS = {"tool_result", "function_call_output"}
_OF_TEXT = {"type", "state", "index", "id", "cache_control", "logprobs"}
_ARGUMENTS = ("arguments", "input", "parameters", "args")
_OF_CALL = {"id", "call_id", "type", "index", "function", "name", *_ARGUMENTS}
_OF_RESULT = {
    *("type", "content", "output", "is_error", "id", "cache_control"),
    *("tool_use_id", "call_id", "tool_call_id"),
}
# Parts of Gemini, Bedrock and the AI SDK, and their names of keys.
_WRAPPED = {
    "functionCall": "tool_call",
    "functionResponse": "tool_result",
    "toolUse": "tool_call",
    "toolResult": "tool_result",
}
_TYPED = {"tool-call": "tool_call", "tool-result": "tool_result"}
_RENAMED = {
    "toolUseId": "call_id",
    "toolCallId": "call_id",
    "toolName": "name",
    "result": "content",
    "response": "content",
}
_NOT_SAID = {
    *("type", "detail", "format", "mime_type", "media_type", "mimeType", "content_type"),
    *("data", "file_data", "bytes", "base64", "id", "file_id", "index", "cache_control"),
}
FAILED = "[failed]"
"""What the result of a tool begins with that says of itself that it failed."""


@dataclass(frozen=True, slots=True)
class ToolItem:
    """A tool call or tool result: its content as it is stored, and the call's id."""

    content: str
    call_id: str = ""


@dataclass(slots=True)
class Content:
    """One message's content, taken apart."""

    texts: list[str] = field(default_factory=list)
    calls: list[ToolItem] = field(default_factory=list)
    results: list[ToolItem] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


def read_content(value: object, *, of_tool: bool = False) -> Content:
    """Take a message's content apart; a tool result (``of_tool``) may be JSON of its own."""
    if value is None or (value in ([], {}) and not of_tool):
        return Content()
    if isinstance(value, str):
        return Content([value])
    parts = [value] if isinstance(value, dict) else value
    parts = [_typed(part) for part in parts] if isinstance(parts, list) else parts
    if not isinstance(parts, list) or not _are_parts(parts, of_tool=of_tool):
        return Content([as_json(value)])
    found = Content()
    for part in parts:
        _read_part(part, found)
    return found


def plain_text(value: object, *, of_tool: bool = False) -> str:
    """Return what a content says as one text, calls and results in it as their JSON."""
    found = read_content(value, of_tool=of_tool)
    return as_json(value) if found.calls or found.results else found.text


def tool_call(call: Mapping[str, Any]) -> ToolItem:
    """Read a call of a tool, flat or with its ``function``; other keys stay in its content."""
    function = call.get("function")
    inner = function if isinstance(function, dict) else {"name": function} if function else {}
    call_id = call.get("id") or call.get("call_id")
    call_id = str(call_id) if isinstance(call_id, str | int) else ""
    if inner.keys() & call.keys():
        return ToolItem(as_json(call), call_id)  # which of the two it is, nobody can tell
    both = {**call, **inner}
    given = [key for key in _ARGUMENTS if both.get(key) is not None]
    unknown = {k: v for k, v in both.items() if k not in _OF_CALL and v not in (None, "", [], {})}
    unknown |= {key: both[key] for key in given[1:]}
    content = call_content(both.get("name"), both[given[0]] if given else None, **unknown)
    return ToolItem(content, call_id)


def call_content(name: object, arguments: object, **more: object) -> str:
    """Return a call as it is stored. Platforms write the arguments as a text that holds JSON."""
    if isinstance(arguments, str):
        with suppress(ValueError, RecursionError):
            arguments = json.loads(arguments, parse_constant=_refuse_constant)
    named = name.strip() if isinstance(name, str) else "" if name is None else name
    return as_json({"name": named, "arguments": arguments, **more})


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def failed(content: str) -> str:
    """Return a tool's response marked as a failure, for readers and for the model."""
    return f"{FAILED} {content}".strip()


def as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def attachments(item: Mapping[str, Any]) -> list[str]:
    """Return a mark for each picture or file that a message carries next to its text."""
    found: list[str] = []
    for name in ("media", "media_urls", "media_url", "attachments", "images", "image_url", "files"):
        value = item.get(name)
        values = value if isinstance(value, list) else [value]
        found += [_marked("attachment", one) for one in values if one not in (None, "", {})]
    return found


def _are_parts(parts: Iterable[object], *, of_tool: bool) -> bool:
    items = list(parts)
    if items and all(isinstance(item, str) for item in items):
        return not of_tool
    known = [isinstance(item, dict) and _is_part(item, of_tool=of_tool) for item in items]
    return bool(known) and (all(known) if of_tool else any(known))


def _is_part(part: Mapping[str, Any], *, of_tool: bool) -> bool:
    kind = part.get("type")
    if kind is None:
        return part.keys() == {"text"} and not of_tool
    return isinstance(kind, str) and (
        kind in _TEXTS or kind in _MEDIA or kind in _CALLS or kind in _RESULTS
    )


def _typed(part: object) -> object:
    """Return a tool call or result in the form that has a type; any other part as it is."""
    if not isinstance(part, dict):
        return part
    kind = part.get("type")
    if len(part) == 1 and (wrapper := next(iter(part))) in _WRAPPED:
        inner, kind = part[wrapper], _WRAPPED[wrapper]
    else:
        inner, kind = part, _TYPED.get(kind) if isinstance(kind, str) else None
    if kind is None or not isinstance(inner, dict):
        return part
    made = {_RENAMED.get(name, name): value for name, value in inner.items()} | {"type": kind}
    if len(made) < len({*inner, "type"}):
        return part  # two keys of one meaning: neither is lost
    if kind == "tool_result" and made.get("status") in ("success", "error"):
        made["is_error"] = made.pop("status") == "error"
    if inner is not part and isinstance(words := made.get("content"), list):
        made["content"] = [_text_part(each) for each in words]
    return made


def _text_part(part: object) -> object:
    return {"type": "text", **part} if isinstance(part, dict) and part.keys() == {"text"} else part


def _read_part(part: object, found: Content) -> None:
    if isinstance(part, str):
        found.texts.append(part)
        return
    kind = part.get("type", "text") if isinstance(part, dict) else None
    if not isinstance(part, dict) or not isinstance(kind, str):
        found.texts.append(as_json(part))
    elif kind in _TEXTS:
        found.texts.append(_text_of(part, _TEXTS[kind]))
    elif spoken := _spoken(part, kind):
        found.texts.append(spoken)
    elif kind in _MEDIA:
        found.texts.append(_marked(_MEDIA[kind], part))
    elif kind in _CALLS:
        found.calls.append(tool_call(part))
    elif kind in _RESULTS:
        found.results.append(_result_of(part))
    else:
        found.texts.append(as_json(part))


def _spoken(part: Mapping[str, Any], kind: str) -> str:
    """Return the words of a part that is sound, where it has a transcript and no address."""
    words = part.get("transcript")
    if _MEDIA.get(kind) != "audio" or not isinstance(words, str) or list(_leaves(part)) != [words]:
        return ""
    return words


def _text_of(part: Mapping[str, Any], name: str) -> str:
    text = part.get(name)
    if isinstance(text, dict) and text.keys() <= {"value", "annotations"}:
        text = text.get("value")
    others = {k: v for k, v in part.items() if k != name and k not in _OF_TEXT}
    more = any(value not in (None, "", [], {}) for value in others.values())
    return text if isinstance(text, str) and not more else as_json(part)


def _result_of(part: Mapping[str, Any]) -> ToolItem:
    said = [part[name] for name in ("content", "output") if part.get(name) is not None]
    unknown = part.keys() - _OF_RESULT
    content = plain_text(said[0] if said else None, of_tool=True)
    content = as_json(part) if len(said) > 1 or any(part[name] for name in unknown) else content
    call_id = part.get("tool_use_id") or part.get("call_id") or part.get("tool_call_id") or ""
    return ToolItem(failed(content) if part.get("is_error") is True else content, str(call_id))


def _marked(kind: str, value: object) -> str:
    """Return a picture, a sound or a file as a mark with its address or name; bytes are left out.

    One that says more than that is stored as its JSON.
    """
    said = list(dict.fromkeys(_leaves(value)))
    if len(said) > 1:
        return as_json(value)
    return f"[{kind}: {said[0]}]" if said else f"[{kind}]"


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            if name not in _NOT_SAID:
                yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, str) and value and not value.startswith("data:"):
        yield value

"""The forms in which programs write a message: roles and keys of other formats.

Anything unknown is rejected by name.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from apps.conversations import inputs
from apps.conversations.inputs import MAX_LENGTHS, LineRefused, Message
from apps.llm.text import sanitise

from .content_parts import Content, ToolItem, call_content, failed, read_content, tool_call

ROLES = ("agent", "user", "system", "tool_call", "tool_result", "transfer", "dtmf", "event")
ROLE_OF = {
    **{role: role for role in ROLES},
    "tool": "tool_result",
    "function": "tool_result",
    "assistant": "agent",
    "bot": "agent",
    "ai": "agent",
    "model": "agent",
    "chatbot": "agent",
    "virtual_agent": "agent",
    "customer": "user",
    "human": "user",
    "caller": "user",
    "client": "user",
    "visitor": "user",
    "end_user": "user",
    "transfer_target": "transfer",
    "tool_call_invocation": "tool_call",
    "tool_call_result": "tool_result",
    "developer": "system",
}
_OFFSET_BELOW = 10**8
"""A smaller number is seconds since the start, a larger one a time since 1970."""
_TEXTS = ("content", "text", "message", "body", "transcript", "utterance", "parts", "refusal")
_ANSWERS = ("result", "output", "error")
_ARGUMENTS = ("arguments", "input", "parameters", "args")
_TIMES = ("at", "timestamp", "time", "created_at")
_IDS = ("tool_call_id", "toolCallId", "call_id", "tool_use_id")
_FAILURES = {"is_error": True, "isError": True, "successful": False, "success": False}
_TYPES = {**ROLE_OF, "function_call": "tool_call", "function_call_output": "tool_result"}
"""OpenAI's responses format and LangChain write a type in the place of a role."""


def read_item(item: object, where: str, started: datetime | None) -> list[Message]:
    """Return the messages of one item of a list. Raises LineRefused where it isn't understood."""
    return _Item(item, where, started).messages()


class _Item:
    """One item of a list of messages: every key that is read is taken out of ``left``."""

    def __init__(self, item: object, where: str, started: datetime | None) -> None:
        self.where, self.started = where, started
        self.left = dict(inputs.an_object(item, where))
        self.role = self._role()
        self.of_tool = self.role == "tool_result"

    def messages(self) -> list[Message]:
        content, calls = self._content(), self._calls()
        name, call_id = self._id("name"), next(filter(None, map(self._id, _IDS)), "")
        if self.role == "tool_call" and not content.texts and not calls:
            calls = self._named_call(name, call_id)
            name = "" if calls else name
        text = failed(content.text) if self._has_failed() else content.text
        own = {"name": name, "tool_call_id": call_id, "id": self._own_id()}
        if call_id and self.role != "tool_call" and (calls or content.calls or content.results):
            raise inputs.refuse(f"{self.where}.tool_call_id", "belongs to a result of a tool.")
        at = self._at(text)
        self._refuse_what_is_left()
        made = list(_messages(self.role, text, content, calls, own))
        return [{**message, **({"at": at} if at else {})} for message in made]

    def _role(self) -> str:
        role = self.left.pop("role", None)
        kind = self.left.get("type")
        if role is None and isinstance(kind, str) and kind in _TYPES:
            role = _TYPES[self.left.pop("type")]
        elif kind == "message":
            self.left.pop("type")
        known = ROLE_OF.get(role.strip().lower()) if isinstance(role, str) else None
        if known is None:
            raise LineRefused(
                "invalid_value",
                f"{self.where}.role must be one of {', '.join(ROLES)}, not {inputs.shown(role)}.",
                "messages",
            )
        return known

    def _content(self) -> Content:
        """Return its text, under any known key; the same text under two keys counts once."""
        found: dict[str, tuple[str, Content]] = {}
        for name in (*_TEXTS, *(_ANSWERS if self.of_tool else ())):
            content = read_content(self.left.pop(name, None), of_tool=self.of_tool)
            if content.text or content.calls or content.results:
                found.setdefault(repr(content), (name, content))
        if len(found) > 1:
            names = " and ".join(f"{self.where}.{name}" for name, _ in found.values())
            raise LineRefused(
                "invalid_value", f"{names} say different things; send one of them.", "messages"
            )
        return next((content for _, content in found.values()), Content())

    def _calls(self) -> list[ToolItem]:
        found: list[ToolItem] = []
        for name in ("tool_calls", "toolCalls", "function_call"):
            value = self.left.pop(name, None)
            where = f"{self.where}.{name}"
            calls = [value] if isinstance(value, dict) else inputs.a_list(value or None, where)
            found += [
                tool_call(inputs.an_object(call, f"{where}[{at}]")) for at, call in enumerate(calls)
            ]
        return found

    def _named_call(self, name: str, call_id: str) -> list[ToolItem]:
        """A tool call that is written flat: its name and arguments are keys of the message."""
        given = next((key for key in _ARGUMENTS if self.left.get(key) is not None), "")
        arguments = self.left.pop(given, None)  # a second one is unknown
        return [ToolItem(call_content(name, arguments), call_id)] if name or given else []

    def _has_failed(self) -> bool:
        if not self.of_tool:
            return False
        said = {name: self.left.pop(name, None) for name in _FAILURES}
        return any(value is _FAILURES[name] for name, value in said.items())

    def _id(self, name: str) -> str:
        return inputs.text(
            self.left.pop(name, None), f"{self.where}.{name}", MAX_LENGTHS["message"]
        )

    def _own_id(self) -> str:
        return self._id("id") or self._id("message_id")

    def _at(self, text: str) -> str:
        times = {name: self.left.pop(name, None) for name in _TIMES}
        words = self.left.get("words")
        if isinstance(words, list) and all(_is_in(word, text) for word in words):
            self.left.pop("words")  # they say once more what the content says, with their times
            times |= {"words": words[0].get("start") if words else None}
        found = [
            _time(when, f"{self.where}.{name}", self.started)
            for name, when in times.items()
            if when is not None
        ]
        return next(filter(None, found), "")

    def _refuse_what_is_left(self) -> None:
        for name, value in self.left.items():
            if value not in (None, "", [], {}) and (name, value) != ("status", "completed"):
                raise LineRefused(
                    "invalid_value",
                    f"{self.where}.{sanitise(name)[:60]} is unknown. Put spoken text in content "
                    "and anything else in the conversation's metadata.",
                    "messages",
                )


def _is_in(word: object, text: str) -> bool:
    if not isinstance(word, dict) or not isinstance(word.get("word"), str):
        return False
    others = (value for name, value in word.items() if name != "word")
    return word["word"].strip() in text and all(isinstance(o, int | float | None) for o in others)


def _messages(
    role: str, text: str, content: Content, calls: list[ToolItem], own: Mapping[str, str]
) -> Iterator[Message]:
    """Yield the text first, then the tools that were called, then their results."""
    tools = [("tool_call", call) for call in (*content.calls, *calls)]
    tools += [("tool_result", result) for result in content.results]
    if text or not tools:
        yield _message(role, text, **own)
        own = {}
    for role_of_tool, item in tools:  # what the item says of itself goes to its first message
        yield _message(role_of_tool, item.content, **{**own, "tool_call_id": item.call_id})
        own = {}


def _message(role: str, content: str, **own: Any) -> Message:
    kept = {name: sanitise(value)[: MAX_LENGTHS["message"]] for name, value in own.items() if value}
    return {"role": role, "content": sanitise(content), **kept}


def _time(when: object, name: str, started: datetime | None) -> str:
    """When it was said, in ISO 8601; seconds since a start that no one knows say nothing."""
    when = inputs.numeric(when)
    if isinstance(when, int | float) and not isinstance(when, bool) and when < _OFFSET_BELOW:
        if started is None or when < 0:
            return ""
        return (started + timedelta(seconds=round(float(when), 3))).isoformat()
    moment = inputs.moment(when, name)
    return moment.isoformat() if moment else ""

"""A transcript as a person reads it: pure functions of its messages and transfers.

A page shows a window of a transcript, because a transcript can hold 10,000 messages or 5,000,000
characters. A link leads to the rest.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import Truncator

from apps.conversations.rows import is_speech
from apps.core import display

Message = Mapping[str, Any]

#: Most messages, and characters, of one window, and of one message in it.
WINDOW_MESSAGES = 200
WINDOW_CHARACTERS = 120_000
CLIP = 8_000
#: Longest content of a tool that is read as JSON.
PARSED_MAX = 200_000
#: Characters of a tool call's one line.
BRIEF = 240
#: Messages before the one that was searched for, so that it is read in its context.
LEAD_IN = 3
FIND_MAX = 200
#: Longest title that is made of a message, and how much of the message is read for it.
TITLE_LENGTH = 60
TITLE_READ = 400

_TOOLS = frozenset({"tool_call", "tool_result"})
_SPEAKERS = frozenset({"agent", "user"})


@dataclass(frozen=True, slots=True)
class Moved:
    """A transfer: the agent that took over after this many messages, and the setting in words."""

    after_message: int
    to: str
    setting: str


@dataclass(frozen=True, slots=True)
class Scene:
    """What surrounds a transcript: when it began, who the user is, where it was transferred."""

    channel: str
    started_at: datetime | None = None
    user: str = "User"
    transfers: Sequence[Moved] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """One unfolded piece of a tool's line: *Arguments* or *Result*."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class TranscriptLine:
    """One line of a transcript. ``kind`` is also its class on the page.

    ``index`` counts messages from 0, -1 for a transfer that no message speaks of; ``clipped``
    says how many characters are left out.
    """

    index: int
    kind: str
    text: str = ""
    who: str = ""
    same: bool = False
    time: str = ""
    exact: str = ""
    small: str = ""
    parts: tuple[Part, ...] = ()
    clipped: int = 0
    hit: bool = False
    found: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a transcript, and where the searched text is in the whole of it."""

    lines: tuple[TranscriptLine, ...]
    start: int
    stop: int
    total: int
    find: str = ""
    hits: tuple[int, ...] = ()
    at: int = 0

    @property
    def left(self) -> int:
        return self.total - self.stop

    @property
    def hit_number(self) -> int:
        """Return the number of the selected match, from 1; 0 if there is none."""
        return self.at + 1 if self.hits else 0

    @property
    def anchor(self) -> str:
        return f"m{self.hits[self.at]}" if self.hits else ""

    @property
    def next_hit(self) -> int:
        return (self.at + 1) % len(self.hits) if self.hits else 0

    @property
    def previous_hit(self) -> int:
        return (self.at - 1) % len(self.hits) if self.hits else 0


def window(
    messages: Sequence[Message], scene: Scene, *, start: int = 0, find: str = "", hit: int = 0
) -> Window:
    """Return the lines from message ``start``, or around the ``hit``-th message with ``find``."""
    find = " ".join(find.split())[:FIND_MAX]
    pattern = re.compile(re.escape(find), re.IGNORECASE) if find else None
    hits = tuple(i for i, m in enumerate(messages) if pattern and pattern.search(_content(m)))
    at = min(max(hit, 0), len(hits) - 1) if hits else 0
    start = min(max(start, 0), len(messages))
    stop = _stop(messages, start)
    if hits and not start and hits[at] >= stop:
        start = max(0, hits[at] - LEAD_IN)
        stop = _stop(messages, start)
    lines = tuple(_lines(messages, scene, start, stop))
    if pattern:
        looked_at = hits[at] if hits else -1
        lines = tuple(_marked_line(line, pattern, looked_at) for line in lines)
    return Window(lines, start, stop, len(messages), find, hits, at)


def first_words(messages: Sequence[Message]) -> str:
    """Return what the user says first, else the agent, truncated to a title's length."""
    spoken = [message for message in messages[:WINDOW_MESSAGES] if is_speech(message)]
    spoken.sort(key=lambda message: message["role"] != "user")
    text = " ".join(_content(spoken[0])[:TITLE_READ].split()) if spoken else ""
    return Truncator(text).chars(TITLE_LENGTH)


def whole_text(message: Message) -> str:
    """Return the whole content of a message, as stored."""
    return _content(message)


def _content(message: Message) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else "" if content is None else json.dumps(content)


def _stop(messages: Sequence[Message], start: int) -> int:
    """Return where a window that begins at ``start`` ends: at least one message, and bounded."""
    room = WINDOW_CHARACTERS
    for index in range(start, min(len(messages), start + WINDOW_MESSAGES)):
        room -= min(len(_content(messages[index])), CLIP)
        if room < 0 and index > start:
            return index
    return min(len(messages), start + WINDOW_MESSAGES)


def _lines(
    messages: Sequence[Message], scene: Scene, start: int, stop: int
) -> Iterator[TranscriptLine]:
    moves = _moves(scene, len(messages))
    speaker, index = "", start
    while index < stop:
        for move in moves.get(index, ()):
            said = _content(messages[index]) if _role(messages[index]) == "transfer" else ""
            yield _transfer_line(index, move, said)
            speaker = ""
        role = _role(messages[index])
        if role in _TOOLS:
            end = _end_of_tools(messages, index, stop)
            yield from _tool_lines(messages, index, end, scene)
            speaker, index = "", end
            continue
        if role != "transfer" or index not in moves:
            line = _plain_line(messages[index], index, scene)
            yield replace(line, same=role in _SPEAKERS and role == speaker)
            speaker = role
        index += 1
    if stop == len(messages):
        yield from (_transfer_line(stop, move, "") for move in moves.get(stop, ()))


def _role(message: Message) -> str:
    return str(message.get("role") or "")


def _moves(scene: Scene, total: int) -> dict[int, list[Moved]]:
    """Return transfers by the message that follows each; none is lost past the end."""
    found: dict[int, list[Moved]] = {}
    for move in scene.transfers:
        found.setdefault(min(move.after_message, total), []).append(move)
    return found


def _transfer_line(index: int, move: Moved, said: str) -> TranscriptLine:
    small = " · ".join(text for text in (move.setting, said[:BRIEF]) if text)
    return TranscriptLine(index if said else -1, "transfer", move.to, small=small)


def _plain_line(message: Message, index: int, scene: Scene) -> TranscriptLine:
    role, content = _role(message), _content(message)
    kind = role if role in _SPEAKERS or role == "transfer" else "event"
    if role == "dtmf":
        content = f"Pressed {content}"
    who = {"agent": "Agent", "user": scene.user}.get(role, "")
    if role == "system":
        content = f"System: {content}"
    time, exact = _time(message, scene)
    if kind == "transfer":
        return TranscriptLine(index, kind, small=content[:BRIEF])
    clipped = max(len(content) - CLIP, 0)
    return TranscriptLine(index, kind, content[:CLIP], who, time=time, exact=exact, clipped=clipped)


def _end_of_tools(messages: Sequence[Message], start: int, stop: int) -> int:
    index = start
    while index < stop and _role(messages[index]) in _TOOLS:
        index += 1
    return index


def _tool_lines(
    messages: Sequence[Message], start: int, end: int, scene: Scene
) -> Iterator[TranscriptLine]:
    """Return adjacent calls and results: each call with its result, in one line."""
    calls = [i for i in range(start, end) if _role(messages[i]) == "tool_call"]
    results = [i for i in range(start, end) if _role(messages[i]) == "tool_result"]
    early = [r for r in results if not calls or r < calls[0]]
    late = iter(results[len(early) :])
    for index in early:
        yield _tool_line(messages, scene, None, index)
    for index in calls:
        yield _tool_line(messages, scene, index, next(late, None))
    for index in late:
        yield _tool_line(messages, scene, None, index)


def _tool_line(
    messages: Sequence[Message], scene: Scene, call: int | None, result: int | None
) -> TranscriptLine:
    first = call if call is not None else result or 0
    brief: list[str] = []
    parts: list[tuple[str, object]] = []
    if call is not None:
        name, arguments = _called(_content(messages[call]))
        brief.append(f"{name}({_one_line(arguments)})" if name else _one_line(arguments))
        parts.append(("Arguments", arguments))
    if result is not None:
        answer = _parsed(_content(messages[result]))
        brief.append(f"→ {_one_line(answer)}")
        parts.append(("Result", answer))
    texts = [(title, display.json_pretty(v) if not isinstance(v, str) else v) for title, v in parts]
    clipped = sum(max(len(text) - CLIP, 0) for _, text in texts)
    time, exact = _time(messages[first], scene)
    return TranscriptLine(
        first,
        "tool",
        " ".join(brief)[:BRIEF],
        time=time,
        exact=exact,
        parts=tuple(Part(title, text[:CLIP]) for title, text in texts if text not in {"", "{}"}),
        clipped=clipped,
    )


def _called(content: str) -> tuple[str, object]:
    """Return the name and arguments of a tool call, in any form that platforms write."""
    value = _parsed(content)
    if not isinstance(value, dict):
        return "", value
    function = value.get("function")
    if isinstance(function, dict):
        value = function
    name = value.get("name")
    if not isinstance(name, str):
        return "", value
    arguments = value.get("arguments", value.get("input", {}))
    return name, _parsed(arguments) if isinstance(arguments, str) else arguments


def _parsed(content: str) -> object:
    """Return parsed JSON for an object or a list of reasonable size, else the text."""
    if len(content) > PARSED_MAX or not content.lstrip().startswith(("{", "[")):
        return content
    try:
        value: object = json.loads(content)
    except (ValueError, RecursionError):
        return content
    return value


def _one_line(value: object) -> str:
    if isinstance(value, str):
        return " ".join(value[: 2 * BRIEF].split())[:BRIEF]
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_one_value(v)}" for k, v in list(value.items())[:12])[:BRIEF]
    return _one_value(value)[:BRIEF]


def _one_value(value: object) -> str:
    if isinstance(value, str):
        return value[:BRIEF]
    return json.dumps(value, ensure_ascii=False, default=str)[:BRIEF]


def _time(message: Message, scene: Scene) -> tuple[str, str]:
    """Return the time for the margin and in full: elapsed for calls, of the day for chats."""
    at = _moment(message.get("at"), scene)
    if at is None:
        return "", ""
    exact = display.exact(at)
    if scene.channel == "voice" and scene.started_at is not None:
        since = (at - scene.started_at) / timedelta(milliseconds=1)
        return display.duration(max(since, 0)), exact
    return timezone.localtime(at).strftime("%H:%M"), exact


def _moment(at: object, scene: Scene) -> datetime | None:
    if not isinstance(at, str):
        return None
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return None
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)


def _marked_line(line: TranscriptLine, pattern: re.Pattern[str], looked_at: int) -> TranscriptLine:
    """Mark matches of a search in a line, also in its folded parts."""
    parts = tuple(Part(p.title, marked(p.text, pattern)) for p in line.parts)
    found = any(pattern.search(p.text) for p in line.parts) or bool(pattern.search(line.text))
    return replace(
        line,
        text=marked(line.text, pattern),
        parts=parts,
        found=found,
        hit=line.index == looked_at,
    )


def marked(text: str, pattern: re.Pattern[str]) -> SafeString:
    """Return escaped text with ``<mark>`` around every match."""
    pieces, last = [], 0
    for match in pattern.finditer(text):
        pieces += [escape(text[last : match.start()]), "<mark>", escape(match[0]), "</mark>"]
        last = match.end()
    pieces.append(escape(text[last:]))
    return mark_safe("".join(pieces))  # noqa: S308 (every piece of data is escaped above)

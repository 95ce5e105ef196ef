"""What all platforms have in common: the shape of what arrived, and reading without surprises.

Platforms add values and change types without notice. What a conversation stands on (its id, its
times) is refused where it cannot be read; anything else that is not as expected is left out, and
stands in the payload, which is kept.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from apps.conversations.inputs import LineRefused
from apps.core.errors import UserError
from apps.llm.text import sanitise

Json = dict[str, Any]


class BadSignature(UserError):
    """Nobody knows who sent it, or when: it is not looked at any further."""

    code = "bad_signature"
    status = 401


@dataclass(frozen=True, slots=True)
class Arrived:
    """One payload, read.

    ``conversation`` is in the shape of interfaces.md, with the platform's ids of agents; None
    where the event carries nothing to store, and ``note`` says why. ``platform_analysis`` are the
    flat values that the platform found, None where there are none to import. ``agent_names`` are
    the platform's names of its agents, by id, as far as it tells them.
    """

    event: str
    external_id: str
    conversation: Json | None = None
    platform_analysis: Json | None = None
    note: str = ""
    agent_names: Mapping[str, str] = field(default_factory=dict)


def needed_id(value: object, name: str) -> str:
    """The id by which a conversation is known. Raises LineRefused where there is none."""
    if found := text(value):
        return found
    raise LineRefused(
        "missing_field", f"{name} is missing: nobody could tell which conversation this is.", name
    )


def mapping(value: object) -> Mapping[str, Any]:
    """The object, else an empty one."""
    return value if isinstance(value, dict) else {}


def objects(value: object) -> Iterator[Mapping[str, Any]]:
    """The objects of a list; what is none is passed over."""
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def text(value: object, limit: int | None = None) -> str:
    """A text or number as text without blanks around it; anything else is empty."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return sanitise(str(value)).strip()[:limit].strip()


def said(value: object) -> str:
    """What was said or answered: text as it is, objects as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def number(value: object) -> float | None:
    """A number that is one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # an integer beyond any float
        return None


def seconds(value: object) -> float | None:
    """Seconds since the start of a conversation, up to ten years."""
    found = number(value)
    return found if found is not None and 0 <= found < 10**8 else None


def milliseconds(value: object) -> float | None:
    """A time in milliseconds since 1970, in this century."""
    found = number(value)
    return found if found is not None and 10**11 < found < 4 * 10**12 else None


def url(value: object) -> str | None:
    """An address of the web; anything else is no link."""
    found = text(value)
    return found if found.lower().startswith(("http://", "https://")) else None


_DIALLED = re.compile(r"\+?[0-9 ().\-/]{3,}")
_WITHHELD = {"+266696687", "+7378742833", "+2562533", "+8656696", "+86282452253"}
"""How carriers spell ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN and UNAVAILABLE on a keypad."""


def caller(value: object) -> str:
    """A number that belongs to somebody: all who withhold theirs must not become one contact."""
    found = text(value, 60)
    return found if _DIALLED.fullmatch(found) and found not in _WITHHELD else ""


_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")


def language(value: object) -> str:
    """A language tag, such as ``en`` or ``pt-BR``; “multi” and the like say nothing."""
    found = text(value)
    return found if len(found) <= 35 and _LANGUAGE.fullmatch(found) else ""


def message(role: str, content: str, at: float | None = None) -> Json:
    """One item of a transcript; ``at``: seconds since the start, or milliseconds since 1970."""
    return {"role": role, "content": content} | ({} if at is None else {"at": at})


def tool_call(name: object, arguments: object, at: float | None = None) -> Json:
    """A tool call with its arguments, which platforms write as a text that holds JSON."""
    if isinstance(arguments, str):
        with suppress(ValueError, RecursionError):
            arguments = json.loads(arguments)
    content = {"name": text(name), "arguments": arguments}
    return message("tool_call", json.dumps(content, ensure_ascii=False), at)


def spoke(messages: Iterable[Mapping[str, Any]]) -> bool:
    """Whether an agent or a user said anything at all."""
    return any(m["role"] in {"agent", "user"} and m["content"].strip() for m in messages)


_SPEAKER = re.compile(r"^(AI|Bot|Assistant|Agent|User|Customer): ?", re.MULTILINE)
_USERS = {"User", "Customer"}


def spoken_lines(transcript: object) -> list[Json]:
    """A transcript that is one text: a line begins with who speaks. For want of anything better."""
    words = transcript if isinstance(transcript, str) else ""
    parts = _SPEAKER.split(words)
    found = [message("event", parts[0].strip())] if parts[0].strip() else []
    for speaker, content in zip(parts[1::2], parts[2::2], strict=True):
        found.append(message("user" if speaker in _USERS else "agent", content.strip()))
    return found


def filled(values: Mapping[str, Any]) -> Json:
    """Without what is empty: a platform's “not found” must not count as a value."""
    return {key: value for key, value in values.items() if not _is_empty(value)}


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str | list | dict) and not value)


def chain(first: str, agents: Sequence[tuple[int, str]]) -> list[Json]:
    """Transfers from (number of messages before, agent that speaks then), in order.

    Platforms do not say which Post call analysis setting a transfer had; it is the default then.
    """
    found, present = [], first
    for after, agent in agents:
        if agent and agent != present:
            found.append({"after_message": after, "to_agent_id": agent})
            present = agent
    return found

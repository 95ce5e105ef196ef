"""Shared parts of all platforms: the form of a payload, and reading without surprises.

Platforms add values and change types without notice. The essentials of a conversation (its id, its
times, its transcript) are rejected where it cannot be read; any other unexpected value is
left out, and stays in the stored payload.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from apps.contacts.phone_numbers import normal_number
from apps.conversations.inputs import LineRefused, numeric
from apps.core.json_text import parse_json
from apps.intake.content_parts import attachments, call_content, failed, plain_text
from apps.intake.message_forms import ROLE_OF
from apps.llm.text import sanitise

Json = dict[str, Any]


def needed_id(value: object, name: str) -> str:
    """Return the id by which a conversation is known. Raises LineRefused where there is none."""
    if found := text(value):
        return found
    raise LineRefused("missing_field", f"{name} is required to identify the conversation.", name)


def mapping(value: object) -> Mapping[str, Any]:
    """Return the object, else an empty one."""
    return value if isinstance(value, dict) else {}


def results_in(value: object) -> Mapping[str, Any]:
    """Return results by name: an object, one as JSON text, or a list of names and values."""
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
        try:
            value = parse_json(value)
        except (ValueError, RecursionError):
            return {}
    if isinstance(value, list):
        return {
            name: item.get("value") for item in objects(value) if (name := text(item.get("name")))
        }
    return mapping(value)


def objects(value: object) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a list; other items are skipped."""
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def text(value: object, limit: int | None = None) -> str:
    """Return a text or number as text without blanks around it; anything else is empty."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)  # 4155550123.0 is a number as a spreadsheet writes it
    return sanitise(str(value)).strip()[:limit].strip()


_SAID = ("content", "message", "text", "transcript", "utterance", "body", "parts")


def said(item: Mapping[str, Any], *names: str) -> str:
    """What an item says under the first of these names, or of the usual ones, that says anything;
    pictures and files next to it as marks."""
    values = (plain_text(item.get(name)) for name in names or _SAID)
    words = next((found for found in values if found.strip()), "")
    return "\n".join(filter(None, [words, *attachments(item)]))


def answered(item: Mapping[str, Any], *names: str, succeeded: object = None) -> str:
    """Return a tool's result under the first of these names with a value."""
    values = (plain_text(item.get(name), of_tool=True) for name in names)
    words = next((found for found in values if found.strip()), "")
    return failed(words) if succeeded is False else words


_ROLE_NAMES = ("role", "speaker", "sender", "author", "from", "participant")
_UNKNOWN = "unknown_role"


def role_of(item: Mapping[str, Any]) -> str:
    """Return their role of an item, in small letters."""
    return next((found for name in _ROLE_NAMES if (found := text(item.get(name)))), "").lower()


def speaker(role: str) -> str:
    """Return Debrief's role for a platform's; "" for an unknown role."""
    return ROLE_OF.get(role, "")


def of_unknown_role(role: str, content: str, at: float | None) -> Json:
    """Return what someone said whom no one here knows. A transcript of nothing else is rejected."""
    words = f"{role}: {content}" if role and content else role or content
    return {**message("event", words, at), _UNKNOWN: bool(content)}


def number(value: object) -> float | None:
    """Return a number that is one, or that a text spells in digits."""
    value = numeric(value)
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
    """Return a time in milliseconds since 1970, in this century."""
    found = number(value)
    return found if found is not None and 10**11 < found < 4 * 10**12 else None


def url(value: object) -> str | None:
    """Return a web address; empty for anything else."""
    found = text(value)
    return found if found.lower().startswith(("http://", "https://")) else None


def caller(value: object) -> str:
    """Return a number that belongs to someone: withheld numbers must not become one contact."""
    return normal_number(text(value, 60))


_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")


def language(value: object) -> str:
    """Return a language tag, such as ``en`` or ``pt-BR``; “multi” and the like say nothing."""
    found = text(value)
    return found if len(found) <= 35 and _LANGUAGE.fullmatch(found) else ""


def message(role: str, content: str, at: float | None = None) -> Json:
    """One item of a transcript; ``at``: seconds since the start, or milliseconds since 1970."""
    return {"role": role, "content": content} | ({} if at is None else {"at": at})


def tool_call(name: object, arguments: object, at: float | None = None) -> Json:
    """Return a tool call with its arguments, which platforms write as a text that holds JSON."""
    return message("tool_call", call_content(text(name), arguments), at)


def spoke(messages: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether an agent or a user said anything at all."""
    return any(m["role"] in {"agent", "user"} and m["content"].strip() for m in messages)


ReadItem = Callable[[Mapping[str, Any], int], Iterable[Json]]
"""From an item, and how many messages come before it, to the messages that it is."""
_NESTED = ("messages", "transcript", "items", "utterances", "turns", "entries")


def transcript(sources: Mapping[str, object], read: ReadItem) -> list[Json]:
    """Return the messages of the first source (by its name) that holds any.

    Raises LineRefused where none does and one can't be read: its content
    must not become an empty conversation.
    """
    unread: LineRefused | None = None
    for name, value in sources.items():
        try:
            found = list(_of_source(name, value, read))
            if found and all(m.get(_UNKNOWN) for m in found if m["content"].strip()):
                raise unreadable(name, value, "no item of it says who speaks")
        except LineRefused as refusal:
            unread = unread or refusal
        else:
            if found:
                return [{k: v for k, v in m.items() if k != _UNKNOWN} for m in found]
    if unread is not None:
        raise unread
    return []


def _of_source(name: str, value: object, read: ReadItem) -> Iterator[Json]:
    if value in (None, "", [], {}):
        return
    if isinstance(value, str):
        yield from spoken_lines(value, name)
    elif isinstance(value, list):
        yield from _of_items(name, value, read)
    elif isinstance(value, dict) and any(isinstance(value.get(n), list | str) for n in _NESTED):
        inner = next(n for n in _NESTED if isinstance(value.get(n), list | str))
        yield from _of_source(f"{name}.{inner}", value[inner], read)
    else:
        raise unreadable(name, value)


def _of_items(name: str, items: Sequence[object], read: ReadItem) -> Iterator[Json]:
    if all(isinstance(item, str) for item in items):
        yield from spoken_lines("\n".join(map(str, items)), name)
        return
    so_far = 0
    for at, item in enumerate(items):
        if isinstance(item, dict):
            for made in read(item, so_far):
                so_far += 1
                yield made
        elif item not in (None, ""):
            raise unreadable(f"{name}[{at}]", item)


def unreadable(name: str, value: object, why: str = "") -> LineRefused:
    """Return the rejection of a transcript that is there and in no form that is known here."""
    kinds = {str: "a text", dict: "an object", list: "a list", bool: "true or false"}
    why = why or f"it is {kinds.get(type(value), 'a number')} in a form that is not known here"
    return LineRefused(
        "unreadable_transcript",
        f"Couldn't read {name}: {why}. The payload is stored and can be replayed.",
        name.partition("[")[0],
    )


_SPEAKER = re.compile(
    r"^[ \t]*[*_\[(]{0,3}"
    r"(AI|Bot|Assistant|Agent|Model|User|Customer|Caller|Client|Human|System|Tool)"
    r"[*_\])]{0,3}[ \t]*[:：][*_]{0,3}[ \t]*",
    re.MULTILINE | re.IGNORECASE,
)
_SPEAKERS = {"caller": "user", "client": "user"}


def spoken_lines(words: str, name: str) -> list[Json]:
    """A transcript that is one text: a line begins with who speaks. For want of anything better.

    Raises LineRefused where no line does.
    """
    parts = _SPEAKER.split(words)
    if len(parts) == 1 and words.strip():
        raise unreadable(name, words, "no line of it begins with who speaks, as in “Agent: Hello”")
    found = [message("event", parts[0].strip())] if parts[0].strip() else []
    for who, content in zip(parts[1::2], parts[2::2], strict=True):
        role = _SPEAKERS.get(who.lower()) or speaker(who.lower())
        found.append(message(role, content.strip()))
    return found


def filled(values: Mapping[str, Any]) -> Json:
    """Return values without empty ones: a platform's “not found” must not count as a value."""
    return {key: value for key, value in values.items() if not _is_empty(value)}


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str | list | dict) and not value)


def imported(analysis: Json | None, *, took_place: bool) -> tuple[Json | None, Json, str]:
    """Return a platform's analysis to import, or the metadata that keeps it instead, and a note.

    A conversation that never took place gets no result, whatever the platform says of it.
    """
    if took_place or not analysis:
        return analysis, {}, ""
    note = "Ignored: analysis of a call that didn’t connect."
    return None, {"platform_analysis": analysis}, note


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

"""The one rule of merging, as pure functions.

The same data again changes nothing, more data is added, the status only moves forward. A line
that is *behind* (its status is an earlier one than the stored) arrived late: it fills gaps and
replaces nothing. Otherwise its values win. Nothing is ever emptied.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from .inputs import ConversationInput, Message
from .models import CLOSED, INACTIVITY, PLAIN_TEXT, Conversation, Status

_RANK = {
    Status.REGISTERED.value: 0,
    Status.ONGOING.value: 1,
    Status.ENDED.value: 2,
    Status.ERROR.value: 2,
    Status.NOT_CONNECTED.value: 2,
}
_SCALARS = (
    "started_at",
    "ended_at",
    "duration_ms",
    "direction",
    "from_number",
    "to_number",
    "recording_url",
    *PLAIN_TEXT,
)


def is_ahead(stored: str, given: str) -> bool:
    """Return whether a line with the status ``given`` may replace the stored one."""
    return _RANK[given] >= _RANK[stored]


def merge_scalars(stored: Conversation, line: ConversationInput) -> dict[str, Any]:
    """Return the columns that change, with their new values."""
    ahead = is_ahead(stored.status, line.status)
    changes: dict[str, Any] = {}
    for name in _SCALARS:
        old, new = getattr(stored, name), _value(line, name)
        if new in {"", None} or new == old:
            continue
        if ahead or old in {"", None}:
            changes[name] = new
    is_guess = end_is_guessed(stored) and line.status in CLOSED
    if _RANK[line.status] > _RANK[stored.status] or (is_guess and line.status != stored.status):
        changes["status"] = line.status
    if is_guess and "ended_at" in changes:
        changes["duration_ms"] = line.duration_ms  # the one by the guess is none
    return changes


def _value(line: ConversationInput, name: str) -> Any:
    return line.texts.get(name, "") if name in PLAIN_TEXT else getattr(line, name)


def end_is_guessed(stored: Conversation) -> bool:
    """Return whether it was Debrief that ended a conversation, for its silence."""
    return stored.has_ended and stored.disconnection_reason == INACTIVITY


def merge_object(
    stored: Mapping[str, Any], given: Mapping[str, Any], *, ahead: bool
) -> dict[str, Any]:
    """Keys of both; where they differ, the given ones unless the line is behind."""
    return {**stored, **given} if ahead else {**given, **stored}


def merge_messages(
    stored: Sequence[Message], given: Sequence[Message], *, ahead: bool
) -> list[Message]:
    """Return the messages after the merge.

    A list that begins with the stored one is appended; a beginning of the stored one adds at most
    the times that were unknown. A different list replaces it only when it is not shorter.
    """
    same = 0
    for old, new in zip(stored, given, strict=False):
        if (old["role"], old["content"]) != (new["role"], new["content"]):
            break
        same += 1
    if same < len(stored) and same < len(given):
        return list(given) if ahead and len(given) >= len(stored) else list(stored)
    merged = [{**new, **old} for old, new in zip(stored, given, strict=False)]
    return [*merged, *stored[same:], *given[same:]]


def merge_list(stored: Sequence[Any], given: Sequence[Any], *, ahead: bool) -> list[Any]:
    """Apply the same rule to values without parts, such as transfers."""
    same = 0
    for old, new in zip(stored, given, strict=False):
        if old != new:
            break
        same += 1
    if same < len(stored) and same < len(given):
        return list(given) if ahead and len(given) >= len(stored) else list(stored)
    return [*stored, *given[same:]] if same == len(stored) else list(stored)

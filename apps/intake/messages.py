"""Messages of a line: roles of other platforms mapped, contents kept whatever they hold."""

import json
from datetime import datetime, timedelta

from apps.conversations.inputs import LineRefused, Message
from apps.llm.text import sanitise

from . import reading

ROLES = ("agent", "user", "system", "tool_call", "tool_result", "transfer", "dtmf", "event")
_ALSO = {"tool": "tool_result", "assistant": "agent", "bot": "agent", "customer": "user"}
_ROLE_OF = {**{role: role for role in ROLES}, **_ALSO}
MAX_MESSAGES = 100_000
_OFFSET_BELOW = 10**8
"""A smaller number is seconds since the start, a larger one a time since 1970."""


def read_messages(value: object, started: datetime | None) -> list[Message]:
    """The messages, in order. Raises LineRefused at the first that cannot be understood."""
    items = reading.a_list(value, "messages")
    if len(items) > MAX_MESSAGES:
        raise reading.refuse("messages", f"has {len(items):,} items, at most {MAX_MESSAGES:,}.")
    return [_message(item, at, started) for at, item in enumerate(items)]


def _message(item: object, at: int, started: datetime | None) -> Message:
    if not isinstance(item, dict):
        raise reading.refuse(f"messages[{at}]", f"is an object {{…}}, not {reading.shown(item)}.")
    role = item.get("role")
    known = _ROLE_OF.get(role) if isinstance(role, str) else None
    if known is None:
        raise LineRefused(
            "invalid_value",
            f"messages[{at}].role is one of {', '.join(ROLES)}, not {reading.shown(role)}.",
            "messages",
        )
    message: Message = {"role": known, "content": _content(item.get("content"))}
    if (when := item.get("at")) is not None and (time := _time(when, at, started)):
        message["at"] = time
    return message


def _content(content: object) -> str:
    """Text as it is, empty too; anything else as JSON (tools answer with objects)."""
    if isinstance(content, str):
        return sanitise(content)
    if content is None:
        return ""
    return sanitise(json.dumps(content, ensure_ascii=False))


def _time(when: object, at: int, started: datetime | None) -> str:
    """When it was said, in ISO 8601; seconds since a start that nobody knows say nothing."""
    if isinstance(when, int | float) and not isinstance(when, bool) and when < _OFFSET_BELOW:
        if started is None or when < 0:
            return ""
        return (started + timedelta(seconds=round(float(when), 3))).isoformat()
    moment = reading.moment(when, f"messages[{at}].at")
    return moment.isoformat() if moment else ""

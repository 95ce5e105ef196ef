"""The plain chat completion, which nearly all replies are, read without looking for anything else.

Whatever isn't in exactly this shape is read by `reply_content` and `usage_reports`, which must
find the same in it (a property test compares).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from apps.llm.specs import TIER_LENGTH
from apps.llm.usage_reports import UsageReport

_REPLY = frozenset(
    (
        *("id", "object", "created", "model", "choices", "usage", "system_fingerprint"),
        "service_tier",
    )
)
_CHOICE = frozenset(("index", "message", "finish_reason", "logprobs"))
_MESSAGE = frozenset(("role", "content"))
_EMPTY = frozenset(("refusal", "annotations", "audio", "function_call", "tool_calls"))
_USAGE = frozenset(("prompt_tokens", "completion_tokens", "total_tokens"))
_INPUT_DETAILS = frozenset(("cached_tokens", "audio_tokens"))
_OUTPUT_DETAILS = frozenset(
    (
        *("reasoning_tokens", "audio_tokens"),
        *("accepted_prediction_tokens", "rejected_prediction_tokens"),
    )
)
_MOST = 2**31


@dataclass(frozen=True, slots=True)
class PlainReply:
    """The text of a complete response, its token counts, its ID, and its service tier."""

    text: str
    usage: UsageReport
    id: str
    tier: str = ""


def plain_reply(value: Mapping[str, object]) -> PlainReply | None:
    """Return a reply that is a plain chat completion, whole and counted; ``None`` for others."""
    choices, name = value.get("choices"), value.get("id")
    if value.get("object") != "chat.completion" or not value.keys() <= _REPLY:
        return None
    if type(name) is not str or not name or type(choices) is not list or len(choices) != 1:
        return None
    text = _text(choices[0])
    usage = _usage(value.get("usage")) if text else None
    return PlainReply(text, usage, name, tier_of(value)) if usage else None


def tier_of(value: Mapping[str, object]) -> str:
    """Return the service tier that a reply reports; empty where it reports none."""
    tier = value.get("service_tier")
    return (
        tier if isinstance(tier, str) and tier.isidentifier() and len(tier) <= TIER_LENGTH else ""
    )


def _text(choice: object) -> str:
    """Return the words of a complete choice that holds nothing else."""
    if type(choice) is not dict or not choice.keys() <= _CHOICE:
        return ""
    message = choice.get("message")
    if choice.get("finish_reason") != "stop" or type(message) is not dict:
        return ""
    for key, item in message.items():
        if key not in _MESSAGE and (item or key not in _EMPTY):
            return ""
    text = message.get("content")
    return text if type(text) is str and not text.isspace() else ""


def _usage(usage: object) -> UsageReport | None:
    """Return counts that add up."""
    if type(usage) is not dict:
        return None
    cached = thoughts = 0
    for key, item in usage.items():
        if key in _USAGE:
            if type(item) is not int or not 0 < item < _MOST:
                return None
        elif key == "prompt_tokens_details":
            cached = _detail(item, _INPUT_DETAILS, "cached_tokens")
        elif key == "completion_tokens_details":
            thoughts = _detail(item, _OUTPUT_DETAILS, "reasoning_tokens")
        else:
            return None
    if not usage.keys() >= _USAGE:
        return None
    sent, received = usage["prompt_tokens"], usage["completion_tokens"]
    adds_up = usage["total_tokens"] == sent + received
    if not adds_up or not 0 <= cached <= sent or not 0 <= thoughts <= received:
        return None
    return UsageReport(sent, cached, received)


def _detail(details: object, known: frozenset[str], name: str) -> int:
    """Return one count of the details; -1 for details of another shape."""
    if details is None:
        return 0
    if type(details) is not dict or not details.keys() <= known:
        return -1
    count = details.get(name)
    return 0 if count is None else count if type(count) is int else -1

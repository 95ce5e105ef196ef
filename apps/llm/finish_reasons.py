"""Why a response ended, in the words of every provider."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from apps.llm.error_bodies import normalized


class Finish(StrEnum):
    """The meaning of an end for the response before it."""

    DONE = "done"
    LENGTH = "length"
    FILTER = "filter"
    REFUSAL = "refusal"
    BROKEN = "broken"
    """The server stopped in the middle: the same request may succeed."""
    VAGUE = "vague"
    """Broken where the response is empty, else done."""
    GENERATION = "generation"
    """The model called its tool in a way that the server could not read."""


_WORDS = {
    Finish.LENGTH: (
        *("length", "max_tokens", "max_token", "model_length", "max_length", "max_output_tokens"),
        *("max_completion_tokens", "max_new_tokens", "token_limit", "token_limit_reached"),
        *("output_token_limit", "model_context_window_exceeded", "context_window_exceeded"),
        *("context_length_exceeded", "context_length", "limit", "truncated", "error_limit"),
        "incomplete",
    ),
    Finish.FILTER: (
        *("content_filter", "content_filtered", "safety", "recitation", "blocklist", "blocked"),
        *("prohibited_content", "spii", "sensitive", "image_safety", "moderation", "flagged"),
        *("guardrail_intervened", "guardrail", "guardrails", "content_policy", "error_toxic"),
        *("content_policy_violation", "unsafe", "model_armor", "jailbreak", "policy_violation"),
        *("risk_control", "content_moderation"),
    ),
    Finish.REFUSAL: ("refusal", "refused"),
    Finish.BROKEN: (
        *("error", "insufficient_system_resource", "abort", "aborted", "network_error", "failed"),
        *("cancelled", "canceled", "timeout", "timed_out", "internal_error", "server_error"),
        *("overloaded", "engine_overloaded", "model_error", "api_error", "failure", "exception"),
        *("system_error", "interrupted", "preempted", "connection_error"),
        *("time_limit", "max_time", "deadline_exceeded"),
    ),
    Finish.VAGUE: (
        *("other", "unknown", "unspecified", "malformed_response", "language", "load", "unload"),
    ),
    Finish.GENERATION: (
        *("malformed_function_call", "malformed_tool_call", "unexpected_tool_call"),
        *("too_many_tool_calls", "missing_thought_signature", "tool_use_failed"),
    ),
}
# Words of servers that are not listed: what they contain decides.
_PARTS = (
    (Finish.FILTER, re.compile(r"safety|sensitiv|filter|moderat|policy|harm|toxic|guardrail")),
    (Finish.GENERATION, re.compile(r"malformed")),
    (Finish.BROKEN, re.compile(r"error|abort|cancel|timeout|fail|quota|ratelimit|unfinished")),
    (Finish.BROKEN, re.compile(r"repetition\Z|notfinished")),
    (Finish.LENGTH, re.compile(r"max|length|limit|truncat")),
)
_MEANINGS = {normalized(word): finish for finish, words in _WORDS.items() for word in words}


def finish_of(reason: object) -> Finish:
    """Return what a finish reason means; words that say nothing known count as done."""
    if isinstance(reason, Mapping):
        reason = reason.get("type") or reason.get("reason")
    if not isinstance(reason, str):
        return Finish.DONE
    word = normalized(reason).removeprefix("finishreason")
    if (meaning := _MEANINGS.get(word)) is not None:
        return meaning
    return next((each for each, part in _PARTS if part.search(word)), Finish.DONE)

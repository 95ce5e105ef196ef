"""The ways in which a model's server can fail, each by a name that scripts and markers use."""

from __future__ import annotations

import json
from typing import Any, Final

# What is answered instead of, or made of, a good answer. A name may carry an argument: "late:3".
ERRORS: Final[dict[str, tuple[int, dict[str, Any]]]] = {
    "429": (429, {"message": "Rate limit reached for requests.", "type": "requests",
                  "code": "rate_limit_exceeded"}),
    "500": (500, {"message": "The server had an error.", "type": "server_error", "code": None}),
    "503": (503, {"message": "The engine is overloaded.", "type": "server_error", "code": None}),
    "401": (401, {"message": "Incorrect API key provided.", "type": "invalid_request_error",
                  "code": "invalid_api_key"}),
    "403": (403, {"message": "Your project has no access.", "type": "invalid_request_error",
                  "code": "forbidden"}),
    "403_moderation": (403, {"message": "Your chosen model requires moderation and your input was "
                             "flagged", "code": 403, "metadata": {"reasons": ["violence"]}}),
    "404": (404, {"message": "The model does not exist.", "type": "invalid_request_error",
                  "code": "model_not_found"}),
    "quota": (429, {"message": "You exceeded your current quota, please check your plan and "
                    "billing details.", "type": "insufficient_quota",
                    "code": "insufficient_quota"}),
    "spend_limit": (429, {"message": "You have reached your monthly spend limit.",
                          "type": "requests", "code": None}),
    "no_capacity": (429, {"message": "Resource unavailable. Flex has no capacity at the moment.",
                          "type": "server_error", "code": "resource_unavailable"}),
    "400_tier": (400, {"message": "Invalid service_tier argument for this model.",
                       "type": "invalid_request_error", "param": "service_tier", "code": None}),
    "context_length": (400, {"message": "This model's maximum context length is 128000 tokens.",
                             "type": "invalid_request_error", "param": "messages",
                             "code": "context_length_exceeded"}),
    "filter_400": (400, {"message": "The prompt was filtered due to the content policy.",
                         "type": "invalid_request_error", "code": "content_filter"}),
    "400_schema": (400, {"message": "Invalid schema for response_format 'analysis': 'minimum' is "
                         "not permitted.", "type": "invalid_request_error",
                         "param": "response_format", "code": None}),
    "400_tools": (400, {"message": "'tools' is not supported by this model.",
                        "type": "invalid_request_error", "param": "tools", "code": None}),
    "400": (400, {"message": "Bad request.", "type": "invalid_request_error", "code": None}),
}  # fmt: skip

TRANSPORT: Final = ("reset", "hang", "late", "drip", "huge", "html")
CONTENT: Final = (
    *("empty", "refusal", "length", "content_filter", "not_json", "against_schema", "wrong_type"),
    *("extra_keys", "wrong_usage", "no_usage", "nul", "deep", "nan", "fenced"),
)
ALL: Final = ("ok", *ERRORS, "429_retry_after", *TRANSPORT, *CONTENT)


def spoil(kind: str, answer: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
    """What a bad ``kind`` changes in the body of a good answer, as members to merge into it.

    ``message`` holds the text of the good answer under ``content`` (or a tool call) and is
    changed in place; the returned members replace those of the whole body.
    """
    text = json.dumps(answer)
    said: dict[str, str] = {
        "empty": "",
        "length": text[: len(text) // 2],
        "content_filter": "",
        "not_json": "Sure! Here is the analysis you asked for.",
        "fenced": f"```json\n{text}\n```",
        "against_schema": json.dumps({key: [{"no": 1}] for key in answer} or {"no": 1}),
        "wrong_type": json.dumps({key: {"wrong": True} for key in answer}),
        "extra_keys": json.dumps({**answer, "confidence": 0.9, "note": "unasked"}),
        "nul": json.dumps({key: _with_nul(value) for key, value in answer.items()}),
        "nan": json.dumps({**answer, "note": float("nan")}),
        "deep": "[" * 100_000,
    }
    if kind in said:
        _say(message, said[kind])
    if kind == "refusal":
        message.clear()
        message.update(role="assistant", content=None, refusal="I cannot help with that.")
    changes: dict[str, dict[str, Any]] = {
        "length": {"finish_reason": "length"},
        "content_filter": {"finish_reason": "content_filter"},
        "wrong_usage": {"usage": {"prompt_tokens": -5, "completion_tokens": "many"}},
        "no_usage": {"usage": None},
    }
    return changes.get(kind, {})


def _with_nul(value: Any) -> Any:
    return value + "\x00\ud800" if isinstance(value, str) and " " in value else value


def _say(message: dict[str, Any], text: str) -> None:
    calls = message.get("tool_calls")
    if calls:
        calls[0]["function"]["arguments"] = text
    else:
        message["content"] = text

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
    "404": (404, {"message": "The model does not exist.", "type": "invalid_request_error",
                  "code": "model_not_found"}),
    "quota": (429, {"message": "You exceeded your current quota, please check your plan and "
                    "billing details.", "type": "insufficient_quota",
                    "code": "insufficient_quota"}),
    "spend_limit": (429, {"message": "You have reached your monthly spend limit.",
                          "type": "requests", "code": None}),
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
    finish: dict[str, Any] = {}
    text = json.dumps(answer)
    match kind:
        case "empty":
            _say(message, "")
        case "refusal":
            message.clear()
            message.update(role="assistant", content=None, refusal="I cannot help with that.")
        case "length":
            _say(message, text[: len(text) // 2])
            finish = {"finish_reason": "length"}
        case "content_filter":
            _say(message, "")
            finish = {"finish_reason": "content_filter"}
        case "not_json":
            _say(message, "Sure! Here is the analysis you asked for.")
        case "fenced":
            _say(message, f"```json\n{text}\n```")
        case "against_schema" | "wrong_type":
            _say(message, json.dumps({key: [{"no": 1}] for key in answer} or {"no": 1}))
        case "extra_keys":
            _say(message, json.dumps({**answer, "confidence": 0.9, "note": "unasked"}))
        case "nul":
            changed = {
                key: value + "\x00\ud800" if isinstance(value, str) and " " in value else value
                for key, value in answer.items()
            }
            _say(message, json.dumps(changed))
        case "nan":
            _say(message, json.dumps({**answer, "note": float("nan")}))
        case "deep":
            _say(message, "[" * 100_000)
        case "wrong_usage":
            return {"usage": {"prompt_tokens": -5, "completion_tokens": "many"}}
        case "no_usage":
            return {"usage": None}
    return finish


def _say(message: dict[str, Any], text: str) -> None:
    calls = message.get("tool_calls")
    if calls:
        calls[0]["function"]["arguments"] = text
    else:
        message["content"] = text

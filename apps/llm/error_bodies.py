"""Read an error body of any shape into its words, codes and statuses.

Providers wrap each other: the reason may be a string, an object, a list of objects, JSON inside a
string, or HTML. Only keys that are known to hold a reason are read. What a body echoes of the
request or of a model's response must not decide what kind of error it is.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from apps.llm.key_masks import mask_keys
from apps.llm.retry_delays import duration, header_delay, reset_delay
from apps.llm.text import shorten

MESSAGE_LENGTH = 1_000

_MOST_LEVELS = 12
_MOST_TEXT = 200_000
_MOST_HTML = 4_000
_MOST_MESSAGES = 30
_MESSAGE_KEYS = (
    *("message", "msg", "error_message", "errormessage", "status_msg", "errmsg", "error_msg"),
    *("error_description", "description", "title", "remedy_hint", "reasons"),
)
_NESTED_KEYS = (
    *("error", "errors", "detail", "details", "metadata", "raw", "innererror", "inner_error"),
    *("base_resp", "body", "response", "cause", "fault", "exception", "upstream_error", "data"),
    *("provider_specific_fields", "previous_errors", "promptfeedback", "prompt_feedback"),
)
_CODE_KEYS = (
    *("code", "type", "__type", "status", "error_code", "errorcode", "error_type"),
    *("errortype", "kind"),
    *("reason", "status_code", "statuscode", "blockreason", "block_reason", "http_code"),
)
_PARAMETER_KEYS = ("param", "parameter", "loc")
_DELAY_KEYS = {
    "retrydelay": 1.0,
    "retry_after": 1.0,
    "retryafter": 1.0,
    "retry_after_seconds": 1.0,
    "retry_after_ms": 0.001,
    "retryafterms": 0.001,
}
# Keys whose mere presence says what happened.
_MARKERS = {
    "flagged_input": "flagged_input",
    "flaggedinput": "flagged_input",
    "input_sensitive": "flagged_input",
    "output_sensitive": "flagged_input",
    "failed_generation": "failed_generation",
    "blockreason": "prompt_blocked",
    "block_reason": "prompt_blocked",
}
_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.DOTALL | re.IGNORECASE)
_BLANKS = re.compile(r"\s+")
_SEPARATORS = re.compile(r"[^a-z0-9]+")


@dataclass(slots=True)
class ErrorBody:
    """What an error body says.

    ``codes`` are normalized: lower case, without separators. ``statuses`` are HTTP statuses
    named inside the body, outermost first. ``failed_text`` is what the model had generated when
    the provider rejected its response.
    """

    messages: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    parameters: list[str] = field(default_factory=list)
    delay: float | None = None
    failed_text: str = ""

    @property
    def message(self) -> str:
        """Return all that the provider says, outermost first, without keys, for a person."""
        parts: list[str] = []
        for message in self.messages:
            if not any(message.lower() in part.lower() for part in parts):
                parts = [p for p in parts if p.lower() not in message.lower()]
                parts.append(message)
        return shorten(mask_keys(": ".join(part.rstrip(":") for part in parts)), MESSAGE_LENGTH)

    @property
    def words(self) -> str:
        """Return the messages and parameters in lower case, to be searched."""
        return " \n".join((*self.messages, *self.parameters)).lower().replace("’", "'")

    @property
    def parameter(self) -> str:
        return " ".join(self.parameters)

    @property
    def is_empty(self) -> bool:
        return not (self.messages or self.codes or self.statuses)


def read_body(content: bytes | str | object) -> ErrorBody:
    """Return what a body says, whatever its shape. Never raises."""
    body = ErrorBody()
    value = content
    if isinstance(content, bytes):
        value = content[:_MOST_TEXT].decode("utf-8", "replace")
    if isinstance(value, str):
        _read_text(body, value[:_MOST_TEXT], 0)
    else:
        _read(body, value, 0)
    return body


def _read_text(body: ErrorBody, text: str, level: int) -> None:
    """Take a text: JSON where it is JSON, HTML as its title, anything else as a message."""
    text = text.strip().lstrip("\ufeff")
    inner = _json_in(text)
    if inner is not None:
        known = len(body.messages)
        _read(body, inner, level + 1)
        if len(body.messages) > known:
            prefix = text[: min(i for i in (text.find("{"), text.find("[")) if i >= 0)]
            if len(prefix.strip(" :-\n")) > 3:
                body.messages.insert(known, _flat(prefix).rstrip(" :-"))
            return
    if text[:1] == "<" and ("<html" in text[:500].lower() or "<!doctype" in text[:100].lower()):
        text = text[:_MOST_HTML]
        title = _TITLE.search(text)
        text = _TAGS.sub(" ", title[1] if title else text)
        text = html.unescape(text)
    if flat := _flat(text):
        body.messages.append(flat[:MESSAGE_LENGTH])


def _json_in(text: str) -> object | None:
    """Return the JSON object or list that a text is, or that follows a short prefix."""
    starts = [i for i in (text.find("{"), text.find("[")) if 0 <= i <= 300]
    for start in sorted(starts):
        try:
            value: object = json.JSONDecoder().raw_decode(text, start)[0]
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and value:
            return value
        if isinstance(value, list) and any(isinstance(item, dict) for item in value):
            return value
    return None


def _flat(text: str) -> str:
    return _BLANKS.sub(" ", text).strip()


def _read(body: ErrorBody, value: object, level: int) -> None:
    if level > _MOST_LEVELS or len(body.messages) >= _MOST_MESSAGES:
        return
    if isinstance(value, str):
        _read_text(body, value, level)
    elif isinstance(value, list):
        for item in value[:20]:
            _read(body, item, level + 1)
    elif isinstance(value, Mapping):
        _read_object(body, {str(k).lower(): v for k, v in value.items()}, level)


def _read_object(body: ErrorBody, value: Mapping[str, object], level: int) -> None:
    body.codes += [normalized(marker) for key, marker in _MARKERS.items() if value.get(key)]
    if isinstance(failed := value.get("failed_generation"), str):
        body.failed_text = body.failed_text or failed
    for key in _CODE_KEYS:
        _read_code(body, value.get(key))
    for key in _PARAMETER_KEYS:
        _read_parameter(body, value.get(key))
    if body.delay is None:
        body.delay = _delay(value)
    place, reason = value.get("loc"), value.get("msg")
    if isinstance(place, list) and isinstance(reason, str):
        body.messages.append(f"{'.'.join(str(part) for part in place[:10])}: {reason}"[:500])
    for key in (*_MESSAGE_KEYS, *_NESTED_KEYS):
        if value.get(key):
            _read(body, value[key], level + 1)


def _delay(value: Mapping[str, object]) -> float | None:
    """Return the seconds to wait that an object names, itself or as headers of another server."""
    for key, scale in _DELAY_KEYS.items():
        if (seconds := duration(value.get(key))) is not None:
            return seconds * scale
    if isinstance(headers := value.get("headers"), Mapping):
        texts = {str(name): str(content) for name, content in headers.items()}
        delay = header_delay(texts)
        return reset_delay(texts) if delay is None else delay
    return None


def _read_code(body: ErrorBody, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return
    text = str(value).strip()
    if text.isdecimal() and 400 <= int(text[:9]) < 600:
        body.statuses.append(int(text))
    elif text and len(text) <= 200:
        body.codes.append(normalized(text))
        body.codes += [normalized(piece) for piece in re.split(r"[.#]", text) if piece != text]


def _read_parameter(body: ErrorBody, value: object) -> None:
    if isinstance(value, str) and value:
        body.parameters.append(value[:200])
    elif isinstance(value, list) and value:
        body.parameters.append(".".join(str(part) for part in value[:10])[:200])


def normalized(code: str) -> str:
    """Return a code without case and separators: ``Model_Not-Found`` is ``modelnotfound``."""
    return _SEPARATORS.sub("", code.lower())

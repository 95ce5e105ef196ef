"""Text that travels: nothing in it may break UTF-8, PostgreSQL or a server's parser."""

from __future__ import annotations

import re

RAW_TEXT_LIMIT = 64 * 1024
"""How much of a failed response is stored, in characters."""

_SURROGATES = re.compile("[\ud800-\udfff]")
_CUT_MARK = "\n… (truncated)"


def sanitise(text: str) -> str:
    """``text`` without NUL (PostgreSQL cannot hold it), lone surrogates replaced by U+FFFD."""
    if "\x00" in text:
        text = text.replace("\x00", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)
    return text


def sanitise_json(value: object) -> object:
    """Return a copy of a JSON value with every string, keys included, sanitized."""
    if isinstance(value, str):
        return sanitise(value)
    if isinstance(value, list):
        return [sanitise_json(item) for item in value]
    if isinstance(value, dict):
        return {sanitise(str(key)): sanitise_json(item) for key, item in value.items()}
    return value


def shorten(text: str, limit: int = RAW_TEXT_LIMIT) -> str:
    """``text``, sanitized and truncated to ``limit`` characters with a mark at the end."""
    if len(text) <= limit:
        return sanitise(text)
    return sanitise(text[: limit - len(_CUT_MARK)]) + _CUT_MARK

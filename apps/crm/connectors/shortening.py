"""Shorten a text to what a CRM stores, between two characters as people see them."""

import unicodedata

_JOINER = "\u200d"
_ELLIPSIS = "…"
_EXTENDS = frozenset({"Mn", "Me", "Mc"})


def utf16_length(text: str) -> int:
    """Return the length as Java counts it, which CRMs do: an emoji is two."""
    return len(text) + sum(char > "\uffff" for char in text)


def shortened(text: str, limit: int) -> str:
    """Return the text, or its beginning with an ellipsis, in at most ``limit`` UTF-16 units."""
    if utf16_length(text) <= limit:
        return text
    room, end, start = limit - 1, 0, 0
    while start < len(text):
        stop = _next_boundary(text, start)
        room -= utf16_length(text[start:stop])
        if room < 0:
            break
        start = end = stop
    return (text[:end].rstrip() + _ELLIPSIS) if limit > 0 else ""


def _next_boundary(text: str, start: int) -> int:
    """Return where the character that begins here ends, with its accents, joined emoji, flags."""
    end = start + 1
    if _is_flag(text[start]) and end < len(text) and _is_flag(text[end]):
        end += 1
    if text[start : end + 1] == "\r\n":
        end += 1
    while end < len(text) and (_extends(text[end]) or text[end - 1] == _JOINER):
        end += 1
    return end


def _extends(char: str) -> bool:
    """Return whether this belongs to the character before it."""
    return (
        char == _JOINER
        or unicodedata.category(char) in _EXTENDS
        or "\U0001f3fb" <= char <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= char <= "\U000e007f"  # tags, as in the flag of Scotland
    )


def _is_flag(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"

"""``pattern`` by RE2: linear time for any pattern of an operator and any response of a model."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Protocol

import re2

_UNICODE_ESCAPE = re.compile(
    r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?<!\\)((?:\\\\)*)\\u([0-9a-fA-F]{4})"
)
_MEMORY_LIMIT = 8 * 1024 * 1024


class Pattern(Protocol):
    def search(self, text: str) -> object | None: ...


class PatternError(ValueError):
    """The pattern cannot be run; the message is for people."""


def _to_re2(pattern: str) -> str:
    """ECMA's ``\\uXXXX`` escapes written as RE2 reads them."""

    def convert(match: re.Match[str]) -> str:
        if match[2]:
            high, low = int(match[2], 16), int(match[3], 16)
            code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
            return f"{match[1]}\\x{{{code:X}}}"
        return f"{match[4]}\\x{{{match[5]}}}"

    return _UNICODE_ESCAPE.sub(convert, pattern)


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> Pattern:
    """Return the compiled pattern. Raises ``PatternError`` for what RE2 cannot run."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY_LIMIT
    try:
        compiled: Pattern = re2.compile(_to_re2(pattern), options)
    except re2.error as error:
        reason = error.args[0] if error.args else "it cannot be read"
        if isinstance(reason, bytes):
            reason = reason.decode(errors="replace")
        raise PatternError(
            f"Can't use pattern “{pattern[:80]}”: {reason}. Lookarounds, backreferences, and "
            "repetitions over 1,000 aren't supported."
        ) from None
    except UnicodeEncodeError:
        raise PatternError(
            "The pattern contains an invalid character (a lone surrogate)."
        ) from None
    return compiled


def matches(pattern: str, text: str) -> bool:
    """Return whether the pattern is found in the text; a text that is not UTF-8 never matches."""
    try:
        return compile_pattern(pattern).search(text) is not None
    except UnicodeEncodeError:
        return False

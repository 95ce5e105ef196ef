"""Read how long a provider asks to wait: from headers, error bodies, and messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from django.utils import timezone

LONGEST_DELAY = 7 * 24 * 3600.0

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_UNIT = (
    r"(?:milliseconds?|millis|msecs?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)"
)
_DURATION = re.compile(rf"(\d+(?:\.\d+)?)\s*({_UNIT})(?![a-z])", re.IGNORECASE)
_SENTENCE = re.compile(
    r"(?:try\s+(?:this\s+request\s+)?again|retry(?:ing)?|wait|available(?:\s+again)?|resets?|"
    r"retrydelay|retry.?after)"
    r"(?:\s+(?:again|your\s+request|at\s+least))?[\"']?\s*(?:in|after|for|:)?\s*[\"']?"
    r"(?:about\s+|approximately\s+|at\s+least\s+)?"
    rf"((?:\d+(?:\.\d+)?\s*{_UNIT}(?![a-z])[\s,]*(?:and\s+)?)+|\d+(?:\.\d+)?(?=[\s.,;)\"'}}]|\Z))",
    re.IGNORECASE,
)
_RESETS = (
    ("x-ratelimit-reset-requests", "x-ratelimit-remaining-requests"),
    ("x-ratelimit-reset-tokens", "x-ratelimit-remaining-tokens"),
    ("x-ratelimit-reset", "x-ratelimit-remaining"),
    ("ratelimit-reset", "ratelimit-remaining"),
    ("anthropic-ratelimit-requests-reset", "anthropic-ratelimit-requests-remaining"),
    ("anthropic-ratelimit-tokens-reset", "anthropic-ratelimit-tokens-remaining"),
    ("anthropic-ratelimit-input-tokens-reset", "anthropic-ratelimit-input-tokens-remaining"),
)


def header_delay(headers: Mapping[str, str]) -> float | None:
    """Return the seconds in ``retry-after-ms`` or ``Retry-After`` (seconds, duration or date)."""
    named = {name.lower(): value for name, value in headers.items()}
    milliseconds = _number(named.get("retry-after-ms"))
    if milliseconds is not None:
        return bounded(milliseconds / 1_000)
    for name in ("retry-after", "x-retry-after", "x-ratelimit-reset-after"):
        if (delay := moment(named.get(name))) is not None:
            return delay
    return None


def reset_delay(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until the limit that is used up resets, from ``x-ratelimit-*``.

    Providers send these headers for every limit, so one that has something left says little: it
    counts only where no limit is reported as used up, and then the soonest is taken.
    """
    named = {name.lower(): value for name, value in headers.items()}
    used_up: list[float] = []
    others: list[float] = []
    for reset, remaining in _RESETS:
        delay = moment(named.get(reset))
        if delay is not None:
            (used_up if _number(named.get(remaining)) == 0 else others).append(delay)
    return max(used_up) if used_up else min(others, default=None)


def sentence_delay(text: str) -> float | None:
    """Return the seconds in a message such as “try again in 1m3.5s”."""
    match = _SENTENCE.search(text)
    return duration(match[1]) if match else None


def duration(value: object) -> float | None:
    """Return the seconds of ``29``, ``"29s"``, ``"1m3s"``, ``"250 ms"`` or ``{"seconds": 29}``."""
    if isinstance(value, Mapping):
        seconds, nanos = _number(value.get("seconds")), _number(value.get("nanos")) or 0.0
        return None if seconds is None else bounded(seconds + nanos / 1e9)
    if (number := _number(value)) is not None:
        return bounded(number)
    if not isinstance(value, str):
        return None
    parts = _DURATION.findall(value)
    return bounded(sum(float(n) * _UNITS[_unit(unit)] for n, unit in parts)) if parts else None


def moment(value: object) -> float | None:
    """Return the seconds until a time: a number of seconds, an epoch, a duration or a date."""
    number = _number(value)
    if number is not None:
        if number > 1e11:
            number /= 1_000
        if number > 1e9:
            return bounded(number - timezone.now().timestamp())
        return bounded(number)
    if not isinstance(value, str) or not value.strip():
        return None
    try:
        at = datetime.fromisoformat(value.strip())
    except ValueError:
        try:
            at = parsedate_to_datetime(value)
        except (ValueError, TypeError):
            return duration(value)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return bounded((at - timezone.now()).total_seconds())


def bounded(seconds: float) -> float | None:
    """Return ``seconds`` where a wait of that length is believable."""
    return seconds if 0 <= seconds < LONGEST_DELAY else None


def _unit(name: str) -> str:
    name = name.lower()
    return "ms" if name.startswith(("ms", "milli")) else name[0]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None

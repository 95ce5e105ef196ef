"""What went wrong between us and a server, sorted: who is to blame, and is it worth another try?"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import openai
from django.utils import timezone

from apps.llm.errors import ErrorCode, PauseReason
from apps.llm.text import shorten
from apps.llm.transport import MAX_ANSWER_BYTES, AnswerTooLongError

_MESSAGE_LENGTH = 1_000
_QUOTA_CODES = frozenset(
    ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "payment_required")
)
_QUOTA_WORDS = re.compile(
    r"billing|spend(ing)? limit|\bcredits?\b|insufficient.(quota|funds|balance)"
)
_MODE_WORDS = re.compile(
    r"response_format|schema|\btools?\b|tool_choice|function|json|strict|grammar"
)
_TOO_LONG = re.compile(
    r"context.?(length|window|size)|maximum context|too many tokens|prompt is too long"
)
_KEY = re.compile(r"\b(sk|pk|key)-[\w*-]{6,}")


@dataclass(frozen=True, slots=True)
class Fault:
    """One failed request. ``retry_after`` is in seconds, as the server asked for."""

    code: ErrorCode
    message: str
    transient: bool = False
    retry_after: float | None = None
    pause: PauseReason | None = None
    status: int | None = None
    parameter: str = ""

    @property
    def refuses_mode(self) -> bool:
        """Whether the server says that it does not know this way of asking for JSON."""
        return (
            self.status in (400, 422, 501)
            and self.code is ErrorCode.PROVIDER_ERROR
            and _MODE_WORDS.search(f"{self.parameter} {self.message}".lower()) is not None
        )


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to go on after transient faults. Times are in seconds."""

    attempts: int = 6
    total: float = 180.0
    first_delay: float = 0.5
    longest_delay: float = 20.0

    def delay(self, attempt: int, fault: Fault) -> float:
        """The pause before try number ``attempt + 1``: as asked, else doubling with jitter."""
        grown = min(self.longest_delay, self.first_delay * 2 ** (attempt - 1))
        jittered: float = grown * (0.5 + random.random() / 2)
        if fault.retry_after is None:
            return jittered
        return fault.retry_after + random.random() * min(1.0, fault.retry_after / 4)


def classify(error: openai.APIError | AnswerTooLongError) -> Fault:
    """Sort an exception of the openai library or of the transport."""
    match error:
        case AnswerTooLongError():
            limit = MAX_ANSWER_BYTES // 1024 // 1024
            return Fault(ErrorCode.INVALID_OUTPUT, f"The answer was longer than {limit} MB.")
        case openai.APITimeoutError():
            return Fault(ErrorCode.TIMEOUT, "The model did not answer in time.", transient=True)
        case openai.APIConnectionError():
            reason = str(error.__cause__ or error)
            return Fault(
                ErrorCode.CONNECTION,
                f"The model's server could not be reached: {shorten(reason, _MESSAGE_LENGTH)}.",
                transient=True,
            )
        case openai.APIStatusError():
            return _from_status(error)
    return Fault(ErrorCode.PROVIDER_ERROR, shorten(str(error), _MESSAGE_LENGTH), transient=True)


def _from_status(error: openai.APIStatusError) -> Fault:
    body = error.body if isinstance(error.body, Mapping) else {}
    message = _KEY.sub("(key)", shorten(str(body.get("message") or error), _MESSAGE_LENGTH))
    code = str(body.get("code") or body.get("type") or "")
    kind = str(body.get("type") or "")
    parameter = str(body.get("param") or "")
    status = error.status_code
    wait = retry_after(error.response.headers)
    quota_named = code in _QUOTA_CODES or kind in _QUOTA_CODES
    quota_said = status == 429 and wait is None and _QUOTA_WORDS.search(message.lower())
    if status == 402 or (status in (403, 429) and quota_named) or quota_said:
        return Fault(ErrorCode.QUOTA, message, pause=PauseReason.QUOTA, status=status)
    if status in (401, 403):
        return Fault(ErrorCode.AUTH, message, pause=PauseReason.AUTH, status=status)
    if status == 429:
        return Fault(ErrorCode.RATE_LIMITED, message, transient=True, retry_after=wait, status=429)
    if status >= 500 and status != 501:
        return Fault(
            ErrorCode.PROVIDER_ERROR, message, transient=True, retry_after=wait, status=status
        )
    if status in (408, 409, 425):
        return Fault(ErrorCode.TIMEOUT, message, transient=True, retry_after=wait, status=status)
    return _about_the_request(status, code, message, parameter)


def _about_the_request(status: int, code: str, message: str, parameter: str) -> Fault:
    """A refusal of what was asked, not of who asked or when."""
    if status == 404:
        # An unknown model or address: no other request would fare better.
        down = PauseReason.PROVIDER_DOWN
        return Fault(ErrorCode.PROVIDER_ERROR, message, pause=down, status=status)
    if code == "context_length_exceeded" or status == 413 or _TOO_LONG.search(message.lower()):
        return Fault(ErrorCode.TRANSCRIPT_TOO_LONG, message, status=status)
    if "content_filter" in code or "content_policy" in code:
        return Fault(ErrorCode.CONTENT_FILTER, message, status=status)
    return Fault(ErrorCode.PROVIDER_ERROR, message, status=status, parameter=parameter)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait, from ``Retry-After`` in any of its forms."""
    if (milliseconds := headers.get("retry-after-ms")) is not None:
        scale, text = 1_000.0, milliseconds
    elif (seconds := headers.get("retry-after")) is not None:
        scale, text = 1.0, seconds
    else:
        return None
    try:
        wait = float(text) / scale
    except ValueError:
        try:
            wait = (parsedate_to_datetime(text) - timezone.now()).total_seconds()
        except (ValueError, TypeError):
            return None
    return wait if 0 <= wait < 7 * 24 * 3600 else None

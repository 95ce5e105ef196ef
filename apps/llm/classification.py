"""Decide what a provider's error means, in one place: by its code, then its words, its status.

The same message means the same with any status, and a status inside a body counts like one of
the response: gateways wrap errors of others, and some carry them inside a 200.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

import httpx2
import openai

from apps.llm import error_rules as rules
from apps.llm.error_bodies import MESSAGE_LENGTH, ErrorBody, normalized, read_body
from apps.llm.error_rules import ErrorKind
from apps.llm.errors import ErrorCode, PauseReason
from apps.llm.failed_request import Fault
from apps.llm.key_masks import mask_keys
from apps.llm.retry_delays import header_delay, reset_delay, sentence_delay
from apps.llm.text import shorten
from apps.llm.transport import MAX_ANSWER_BYTES, AnswerTooLongError

_VAGUE_STATUSES = frozenset((200, 400, 422, 500, 502))
_MODE_STATUSES = frozenset((400, 404, 415, 422, 500, 501))
_TOO_LATE = frozenset((408, 409, 425, 499))
_FAILED_BEHIND = 424

_WRONG_ADDRESS = frozenset((301, 302, 303, 307, 308, 404, 405, 410))
_UNKNOWN_MODEL = "The provider doesn't offer this model, so no request for it can succeed"


def classify(error: openai.APIError | httpx2.TransportError | AnswerTooLongError) -> Fault:
    """Return the fault that an exception of the openai library or of the transport is."""
    match error:
        case AnswerTooLongError():
            limit = MAX_ANSWER_BYTES // 1024 // 1024
            return Fault(ErrorCode.INVALID_OUTPUT, f"The response was longer than {limit} MB.")
        case openai.APITimeoutError() | httpx2.TimeoutException():
            return Fault(ErrorCode.TIMEOUT, "The model timed out.", transient=True)
        case openai.APIConnectionError() | httpx2.TransportError():
            said = error.__cause__ if isinstance(error, openai.APIError) else error
            reason = mask_keys(shorten(str(said or error), MESSAGE_LENGTH))
            return Fault(
                ErrorCode.CONNECTION,
                f"Couldn't reach the model: {reason}.",
                transient=True,
            )
    message = mask_keys(shorten(str(error), MESSAGE_LENGTH))
    return Fault(ErrorCode.PROVIDER_ERROR, message, transient=True)


def fault_of(
    status: int, content: bytes | str | object, headers: Mapping[str, str] | None = None
) -> Fault:
    """Return the fault that a response is: its status, its body of any shape, its headers."""
    body = read_body(content)
    decided = _effective([status, *body.statuses])
    message = body.message or f"The server responded with status {status} and no message."
    kind = _by_code(body) or _by_words(body, decided) or _by_broad_code(body)
    delay = _delay(body, headers or {})
    if kind is not None:
        fault = _by_kind(kind, body, message, decided, delay)
    else:
        fault = _by_status(decided, body, message, delay)
    if fault.code is ErrorCode.RATE_LIMITED and _lacks_capacity(body):
        return replace(fault, no_capacity=True)
    return fault


def _lacks_capacity(body: ErrorBody) -> bool:
    return rules.NO_CAPACITY_CODE in body.codes or bool(rules.NO_CAPACITY.search(body.words))


def _effective(statuses: Iterable[int]) -> int:
    """Return the first status that says something exact, else the innermost."""
    status = 0
    for status in statuses:
        if status not in _VAGUE_STATUSES:
            return status
    return status


def _named(body: ErrorBody, table: Iterable[tuple[ErrorKind, frozenset[str]]]) -> ErrorKind | None:
    mentioned = set(body.codes)
    return next((kind for kind, names in table if names & mentioned), None)


def _by_code(body: ErrorBody) -> ErrorKind | None:
    kind = _named(body, rules.CODES)
    if kind is ErrorKind.RATE and _is_too_large(body.words):
        return ErrorKind.TOO_LONG
    return None if kind is ErrorKind.TOO_LONG and _is_about_a_setting(body) else kind


def _is_about_a_setting(body: ErrorBody) -> bool:
    """Return whether another part of the request than the transcript is too long."""
    return rules.SETTING.search(body.words) is not None


def _by_broad_code(body: ErrorBody) -> ErrorKind | None:
    # Gateways put the code of the provider behind them into the text.
    if (kind := _named(body, rules.BROAD_CODES)) is not None:
        return kind
    return _named(ErrorBody(codes=_codes_in(body.words)), (*rules.CODES, *rules.BROAD_CODES))


def _codes_in(words: str) -> list[str]:
    found = re.findall(r"\b[a-z]+(?:_[a-z]+)+\b|(?<=litellm\.)[a-z]+", words)
    return [normalized(word) for word in found]


def _is_too_large(words: str) -> bool:
    """Return whether a rate limit can never let this request through: it alone is larger."""
    if rules.REQUEST_TOO_LARGE.search(words):
        return True
    numbers = rules.LIMIT_REQUESTED.search(words)
    if numbers is None:
        return False
    limit, requested = (int(number.replace(",", "") or 0) for number in numbers.groups())
    return requested > limit


def _by_words(body: ErrorBody, status: int) -> ErrorKind | None:
    words = body.words
    if not words:
        return None
    if status == 402 and not rules.FILTER.search(words):
        return ErrorKind.QUOTA
    if rules.ACCOUNT.search(words):
        return ErrorKind.QUOTA if rules.QUOTA.search(words) else ErrorKind.AUTH
    if status == 429:
        return _of_a_limit(body, words)
    if status in (503, 529):
        return None
    if rules.FILTER.search(words) and not rules.FILTER_OUTAGE.search(words):
        return ErrorKind.FILTER
    return _about_the_account(body, words) or _about_the_request(body, words, status)


def _of_a_limit(body: ErrorBody, words: str) -> ErrorKind:
    """Sort a 429: a limit on speed, an empty account, or one request above the limit."""
    if _is_too_large(words):
        return ErrorKind.TOO_LONG
    if rules.NO_FREE_TIER.search(words) and "quota" in words:
        return ErrorKind.QUOTA
    if rules.QUOTA.search(words):
        return ErrorKind.QUOTA
    hurried = body.delay is not None or rules.RATE.search(words) or sentence_delay(words)
    if hurried or _named(body, rules.BROAD_CODES) is ErrorKind.RATE:
        return ErrorKind.RATE
    return ErrorKind.QUOTA if rules.QUOTA_ADVICE.search(words) else ErrorKind.RATE


def _about_the_account(body: ErrorBody, words: str) -> ErrorKind | None:
    if rules.QUOTA.search(words):
        return ErrorKind.QUOTA
    if rules.AUTH.search(words):
        return ErrorKind.AUTH
    if re.search(
        r"rate.?limit\w* (?:reached|exceeded|hit)|\A\s*rate.?limit\w*\W*\Z|too many requests|"
        r"\bqps\b.{0,20}limit reached",
        words,
    ):
        return ErrorKind.TOO_LONG if _is_too_large(words) else ErrorKind.RATE
    if re.search(r"exceeded your current quota|(?:enable|activate|set up) billing", words):
        return ErrorKind.QUOTA
    return None


def _about_the_request(body: ErrorBody, words: str, status: int) -> ErrorKind | None:
    too_long = rules.TOO_LONG.search(words) and not _is_about_a_setting(body)
    if too_long and not _is_answer_cap(words):
        return ErrorKind.TOO_LONG
    if rules.GENERATION.search(words):
        return ErrorKind.GENERATION
    if status not in _MODE_STATUSES:
        return ErrorKind.MODEL if status < 500 and rules.MODEL.search(words) else None
    if rules.MODE_NOT_FOUND.search(words) or rules.MODE_ON_A_FAULT.search(words):
        return ErrorKind.MODE
    if rules.BUSY.search(words):
        return ErrorKind.BUSY
    if rules.MODEL.search(words):
        return ErrorKind.MODEL
    if _is_unreadable(body, words):
        return ErrorKind.UNREADABLE
    return _of_a_mode(words, status)


def _is_answer_cap(words: str) -> bool:
    """Return whether the response's cap is too large, which no shorter transcript would help."""
    if rules.ONLY_THE_CAP.search(words):
        return True
    return rules.ANSWER_CAP.search(words) is not None and not re.search(
        r"context|prompt|input|messages|sequence|got -\d", words
    )


def _is_unreadable(body: ErrorBody, words: str) -> bool:
    return "jsoninvalid" in body.codes or rules.UNREADABLE.search(words) is not None


def _of_a_mode(words: str, status: int) -> ErrorKind | None:
    # A fault of the server may mention JSON by chance, and an unknown address a function.
    if status in (404, 500):
        return None
    return ErrorKind.MODE if rules.MODE.search(words) else None


def _delay(body: ErrorBody, headers: Mapping[str, str]) -> float | None:
    delays = (header_delay(headers), body.delay, sentence_delay(body.words), reset_delay(headers))
    return next((delay for delay in delays if delay is not None), None)


# What each kind is to the outside: its error code, and whether the run stops for it.
_OUTCOMES: Mapping[ErrorKind, tuple[ErrorCode, PauseReason | None]] = {
    ErrorKind.FILTER: (ErrorCode.CONTENT_FILTER, None),
    ErrorKind.QUOTA: (ErrorCode.QUOTA, PauseReason.QUOTA),
    ErrorKind.AUTH: (ErrorCode.AUTH, PauseReason.AUTH),
    ErrorKind.RATE: (ErrorCode.RATE_LIMITED, None),
    ErrorKind.TOO_LONG: (ErrorCode.TRANSCRIPT_TOO_LONG, None),
    ErrorKind.MODEL: (ErrorCode.PROVIDER_ERROR, PauseReason.PROVIDER_DOWN),
    ErrorKind.GENERATION: (ErrorCode.INVALID_OUTPUT, None),
    ErrorKind.BUSY: (ErrorCode.PROVIDER_ERROR, None),
    ErrorKind.MODE: (ErrorCode.PROVIDER_ERROR, None),
    ErrorKind.UNREADABLE: (ErrorCode.PROVIDER_ERROR, None),
}


def _by_kind(
    kind: ErrorKind, body: ErrorBody, message: str, status: int, delay: float | None
) -> Fault:
    code, pause = _OUTCOMES[kind]
    transient = kind in {ErrorKind.RATE, ErrorKind.BUSY}
    return Fault(
        code,
        f"{_UNKNOWN_MODEL}: {message}" if kind is ErrorKind.MODEL else message,
        transient=transient,
        retry_after=delay if transient else None,
        pause=pause,
        status=429 if kind is ErrorKind.RATE else status,
        parameter=body.parameter,
        refuses_mode=kind is ErrorKind.MODE,
        asks_again=kind is ErrorKind.GENERATION,
        failed_text=body.failed_text if kind is ErrorKind.GENERATION else "",
    )


_KINDS_BY_STATUS = {
    401: ErrorKind.AUTH,
    402: ErrorKind.QUOTA,
    403: ErrorKind.AUTH,
    413: ErrorKind.TOO_LONG,
    429: ErrorKind.RATE,
}


def _by_status(status: int, body: ErrorBody, message: str, delay: float | None) -> Fault:
    if (kind := _KINDS_BY_STATUS.get(status)) is not None:
        return _by_kind(kind, body, message, status, delay)
    if status in _TOO_LATE:
        return Fault(ErrorCode.TIMEOUT, message, transient=True, retry_after=delay, status=status)
    if status in _WRONG_ADDRESS:
        # An unknown model or address: no other request would fare better.
        down = PauseReason.PROVIDER_DOWN
        return Fault(ErrorCode.PROVIDER_ERROR, message, pause=down, status=status)
    if status in {200, _FAILED_BEHIND} or (status >= 500 and status != 501):
        return _by_kind(ErrorKind.BUSY, body, message, status, delay)
    return Fault(ErrorCode.PROVIDER_ERROR, message, status=status, parameter=body.parameter)

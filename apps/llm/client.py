"""Asking a model for an answer of a given shape, through whatever goes wrong on the way.

One ``LlmClient`` belongs to one event loop and lives as long as it (facts, *Celery*). It never
raises for what a server does: every outcome is a ``StructuredAnswer``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import httpx2
import openai

from apps.llm.connections import Connections, MissingKeyError, NotRunningError, endpoint
from apps.llm.errors import ErrorCode, PauseReason
from apps.llm.faults import Fault, RetryPolicy, classify
from apps.llm.limits import Lane, Limits
from apps.llm.replies import (
    FIRST_RUNG,
    Message,
    NotAnAnswerError,
    Reply,
    Rung,
    estimated_usage,
    parse_output,
    parse_reply,
    request_body,
)
from apps.llm.schema import CompiledSchema, Verdict, checker
from apps.llm.specs import ModelSpec, StructuredMode, TokenUsage
from apps.llm.text import shorten
from apps.llm.tokens import estimate_messages
from apps.llm.transport import AnswerTooLongError

DOWN_AFTER = 5
"""Requests in a row that gave up on a server, after which it counts as down and runs pause."""

_IGNORED_AFTER = 3
_QUOTED = 4_000
_JSON_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


@dataclass(frozen=True, slots=True)
class StructuredRequest:
    """One question to a model. ``original_schema`` judges the answer, built-ins included."""

    model: ModelSpec
    messages: Sequence[Message]
    schema: CompiledSchema
    original_schema: Mapping[str, object]
    max_output_tokens: int = 1_024
    cache_key: str = ""
    timeout: float = 120.0
    lane: Lane = Lane.LIVE
    input_tokens: int | None = None
    """As estimated by the caller; for the limit of tokens per minute only."""
    on_send: Callable[[], None] | None = None
    """Called right before anything is sent, when the model's limits let it through."""


@dataclass(frozen=True, slots=True)
class StructuredAnswer:
    """What came of a request. Either ``output`` or ``error`` is set, never both.

    ``usage`` is the sum over all ``requests`` that were answered; ``usage_estimated`` says that
    the server's own numbers could not be used for some of it. ``latency_ms`` is the time spent in
    requests, without waiting for limits or between tries. ``pause`` asks the run to stop: no
    other request would fare better.
    """

    output: dict[str, object] | None = None
    missing_required: list[str] = field(default_factory=list)
    raw_text: str = ""
    error: ErrorCode | None = None
    error_message: str = ""
    usage: TokenUsage = field(default_factory=TokenUsage)
    usage_estimated: bool = False
    requests: int = 0
    latency_ms: int = 0
    provider_request_id: str = ""
    pause: PauseReason | None = None
    retry_after: float | None = None


@dataclass(slots=True)
class _Learned:
    """What a server taught about a model, for the life of the process."""

    rung: Rung
    cap_name: str = "max_completion_tokens"
    cache_key: bool = True
    ignored: int = 0
    failures: int = 0


Outcome: TypeAlias = Reply | Fault


@dataclass(slots=True)
class _Sent:
    """What came of one or several HTTP requests, and the seconds spent in them."""

    outcome: Outcome
    request_id: str = ""
    seconds: float = 0.0
    requests: int = 1


class LlmClient:
    """The one way to a model. Safe for any number of requests at once in its event loop."""

    def __init__(
        self,
        *,
        retry: RetryPolicy | None = None,
        limits: Limits | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._retry = retry or RetryPolicy()
        self._limits = limits or Limits()
        self._sleep = sleep
        self._connections = Connections()
        self._learned: dict[tuple[str, str], _Learned] = {}

    async def complete(self, request: StructuredRequest) -> StructuredAnswer:
        """Ask, climb down the ladder where the server refuses, judge the answer (product 3.2)."""
        return await _Attempt(self, request).run()

    async def aclose(self) -> None:
        """Close all connections. The client is not usable afterwards."""
        await self._connections.aclose()
        await self._limits.aclose()

    def learned(self, model: ModelSpec) -> _Learned:
        """What is known of the server of this model."""
        key = (model.key, model.structured_output)
        known = self._learned.get(key)
        if known is None:
            first = FIRST_RUNG[StructuredMode(model.structured_output)]
            known = self._learned[key] = _Learned(first)
        return known

    async def patiently(self, request: StructuredRequest, body: bytes, tokens: int) -> _Sent:
        """Send, and again after transient faults, within the bounds of the retry policy."""
        policy, known = self._retry, self.learned(request.model)
        waited = seconds = 0.0
        for attempt in range(1, policy.attempts + 1):
            await self._limits.reserve(request.model, request.lane, tokens)
            sent = await self._gated(request, body)
            seconds += sent.seconds
            sent.seconds, sent.requests = seconds, attempt
            fault = sent.outcome
            if isinstance(fault, Reply):
                known.failures = 0
                break
            if not fault.transient:
                break
            delay = policy.delay(attempt, fault)
            waited += delay
            if attempt == policy.attempts or seconds + waited > policy.total:
                sent.outcome = self._given_up(known, fault)
                break
            await self._sleep(delay)
        return sent

    def _given_up(self, known: _Learned, fault: Fault) -> Fault:
        """A fault that outlasted all patience; after several in a row the server counts as down."""
        if fault.code is ErrorCode.RATE_LIMITED:
            return fault
        known.failures += 1
        return (
            replace(fault, pause=PauseReason.PROVIDER_DOWN)
            if known.failures >= DOWN_AFTER
            else fault
        )

    async def _gated(self, request: StructuredRequest, body: bytes) -> _Sent:
        """One HTTP request in its turn, timed, and what it says of the server's patience."""
        gate = self._limits.gate(request.model)
        await gate.enter(request.lane)
        started = time.monotonic()
        if request.on_send is not None:
            request.on_send()
        try:
            sent = await self._send(request, body)
        finally:
            gate.leave()
        sent.seconds = time.monotonic() - started
        if isinstance(sent.outcome, Reply):
            gate.speed_up()
        elif sent.outcome.status == 429:
            gate.slow_down(started)
        return sent

    async def _send(self, request: StructuredRequest, body: bytes) -> _Sent:
        """One HTTP request."""
        try:
            place = endpoint(request.model)
            response = await self._connections.get(place).post(
                "/chat/completions",
                cast_to=httpx2.Response,
                content=body,
                options={"headers": _JSON_HEADERS, "timeout": request.timeout},
            )
            reply = parse_reply(response.content)
        except MissingKeyError as error:
            return _Sent(Fault(ErrorCode.AUTH, str(error), pause=PauseReason.AUTH))
        except NotRunningError as error:
            down = PauseReason.PROVIDER_DOWN
            return _Sent(Fault(ErrorCode.CONNECTION, str(error), pause=down))
        except NotAnAnswerError as error:
            return _Sent(Fault(ErrorCode.PROVIDER_ERROR, str(error), transient=True))
        except (openai.APIError, AnswerTooLongError) as error:
            return _Sent(classify(error))
        return _Sent(reply, response.headers.get("x-request-id") or reply.id)


class _Attempt:
    """The way of one request down the ladder."""

    def __init__(self, client: LlmClient, request: StructuredRequest) -> None:
        self.client = client
        self.request = request
        self.known = client.learned(request.model)
        self.rung = self.known.rung
        if self.rung is Rung.STRICT and not request.schema.closed:
            self.rung = Rung.TOOL
        self.cap = request.max_output_tokens
        self.messages: tuple[Message, ...] = tuple(request.messages)
        self.usage = TokenUsage()
        self.estimated = False
        self.requests = 0
        self.request_id = ""
        self.seconds = 0.0
        self.tokens = 0
        if request.model.tokens_per_minute is not None:
            sent = request.input_tokens or estimate_messages(*(m["content"] for m in self.messages))
            self.tokens = max(sent, self.cap)  # as providers charge their limit

    async def run(self) -> StructuredAnswer:
        reply, answer = await self.ask()
        if reply is None:
            return answer
        if answer.error is not ErrorCode.INVALID_OUTPUT:
            return answer
        return await self.ask_again(reply, answer)

    async def ask(self) -> tuple[Reply | None, StructuredAnswer]:
        """Down the rungs until the server takes one; a cut answer gets one larger cap."""
        grown = False
        cut: tuple[Reply, StructuredAnswer] | None = None
        while True:
            outcome = await self.send()
            if isinstance(outcome, Fault):
                if self.adapt(outcome):
                    continue
                if cut is not None and not outcome.transient and outcome.pause is None:
                    return cut
                return None, self.failed(outcome)
            answer = self.judge(outcome)
            if answer.error is ErrorCode.LENGTH and not grown and self.grow():
                grown, cut = True, (outcome, answer)
                continue
            return outcome, answer

    async def ask_again(self, reply: Reply, first: StructuredAnswer) -> StructuredAnswer:
        """The one re-ask, with the validator's message; then the first answer's failure stands.

        A server that answered prose has ignored how it was asked: it is asked in words instead.
        """
        prose = isinstance(parse_output(reply.text), str)
        asked = self.rung
        if prose:
            self.rung = Rung.JSON
        self.messages = (
            *self.messages,
            Message(role="assistant", content=shorten(reply.text, _QUOTED)),
            Message(
                role="user",
                content=f"That answer cannot be used. {first.error_message}\n"
                "Give the whole answer again, as one JSON object that fits the schema.",
            ),
        )
        outcome = await self.send()
        if isinstance(outcome, Fault):
            failed = self.failed(outcome)
            return failed if outcome.pause or outcome.transient else self.finished(first)
        answer = self.judge(outcome)
        if prose and answer.output is not None and asked is not Rung.JSON:
            self.known.ignored += 1
            if self.known.ignored >= _IGNORED_AFTER:
                self.known.rung = Rung.JSON
        return answer

    async def send(self) -> Outcome:
        known = self.known
        body = request_body(
            self.request.model,
            self.messages,
            self.request.schema,
            self.rung,
            self.cap,
            known.cap_name,
            self.request.cache_key if known.cache_key else "",
        )
        sent = await self.client.patiently(self.request, body, self.tokens)
        outcome = sent.outcome
        self.requests += sent.requests
        self.seconds += sent.seconds
        self.request_id = sent.request_id or self.request_id
        if isinstance(outcome, Reply):
            used = outcome.usage
            if used is None:
                self.estimated = True
                used = estimated_usage(self.request.model, self.messages, outcome.text)
            self.usage += used
        return outcome

    def adapt(self, fault: Fault) -> bool:
        """Learn from a refusal; whether it is worth asking again in another way."""
        known, said = self.known, f"{fault.parameter} {fault.message}"
        if fault.status in (400, 422):
            if known.cap_name in said and known.cap_name == "max_completion_tokens":
                known.cap_name = "max_tokens"
                return True
            if known.cache_key and "prompt_cache_key" in said:
                known.cache_key = False
                return True
        if not fault.refuses_mode or self.rung is Rung.JSON:
            return False
        self.rung = Rung(self.rung + 1)
        known.rung = max(known.rung, self.rung) if self.request.schema.closed else known.rung
        return True

    def grow(self) -> bool:
        """The model's own limit for an answer that was cut, if the cap was below it."""
        larger = self.request.model.max_output_tokens
        if larger <= self.cap:
            return False
        self.cap = larger
        return True

    def judge(self, reply: Reply) -> StructuredAnswer:
        """A reply, held against what was asked. Nothing is ever repaired."""
        if reply.refusal:
            return self.error(ErrorCode.REFUSAL, reply.refusal, reply.refusal)
        if reply.finish_reason == "content_filter":
            return self.error(ErrorCode.CONTENT_FILTER, ErrorCode.CONTENT_FILTER.label, reply.text)
        if reply.finish_reason == "length":
            message = f"The answer was cut after {self.cap:,} tokens."
            return self.error(ErrorCode.LENGTH, message, reply.text)
        if not reply.text.strip():
            return self.error(ErrorCode.EMPTY_OUTPUT, ErrorCode.EMPTY_OUTPUT.label, "")
        value = parse_output(reply.text)
        if isinstance(value, str):
            return self.error(ErrorCode.INVALID_OUTPUT, value, reply.text)
        verdict: Verdict = checker(self.request.original_schema).examine(value)
        if verdict.problems:
            return self.error(ErrorCode.INVALID_OUTPUT, "; ".join(verdict.problems), reply.text)
        return self.finished(
            StructuredAnswer(
                output=verdict.output,
                missing_required=verdict.missing_required,
                raw_text=shorten(reply.text),
            )
        )

    def error(self, code: ErrorCode, message: str, raw: str) -> StructuredAnswer:
        return self.finished(
            StructuredAnswer(
                error=code, error_message=shorten(message, 2_000), raw_text=shorten(raw)
            )
        )

    def failed(self, fault: Fault) -> StructuredAnswer:
        code = ErrorCode.SCHEMA_REJECTED if fault.refuses_mode else fault.code
        return self.finished(
            StructuredAnswer(
                error=code,
                error_message=fault.message,
                pause=fault.pause,
                retry_after=fault.retry_after,
            )
        )

    def finished(self, answer: StructuredAnswer) -> StructuredAnswer:
        """The answer with all that it took so far."""
        return replace(
            answer,
            usage=self.usage,
            usage_estimated=self.estimated,
            requests=self.requests,
            latency_ms=round(self.seconds * 1_000),
            provider_request_id=self.request_id,
        )

"""Send requests to a model's server, patiently: limits, retries, and facts learned about it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import httpx2
import openai

from apps.llm.classification import classify, fault_of
from apps.llm.connections import Connections, MissingKeyError, NotRunningError, endpoint
from apps.llm.errors import ErrorCode, PauseReason
from apps.llm.failed_request import Fault, RetryPolicy
from apps.llm.limits import Limits
from apps.llm.replies import FIRST_RUNG, ModelReply, Rung, parse_reply
from apps.llm.specs import ModelSpec, StructuredMode, TokenUsage
from apps.llm.structured import StructuredRequest
from apps.llm.transport import AnswerTooLongError

DOWN_AFTER = 3
"""Requests in a row that gave up on a server, after which it counts as down and runs pause."""

STANDARD_SECONDS = 120.0
"""The time-out of a request at the standard tier."""

FLEX_SECONDS = 900.0
"""The time-out of a request at the flex tier, as OpenAI advises."""


@dataclass(slots=True)
class Scarcity:
    """For how long a model's flex tier has had no capacity, for all requests of the process."""

    since: float | None = None
    at: float = -math.inf

    def met(self, now: float, patience: float) -> bool:
        """Note that a request found no capacity; return whether that has lasted too long.

        Requests of more than ``patience`` seconds ago don't count.
        """
        if self.since is None or now - self.at > patience:
            self.since = now
        self.at = now
        return now - self.since >= patience

    def over(self) -> None:
        """Note a response."""
        self.since = None


@dataclass(slots=True)
class ServerState:
    """What a server taught about a model, for the life of the process."""

    rung: Rung
    cap_name: str = "max_completion_tokens"
    cache_key: bool = True
    ignored: int = 0
    failures: int = 0
    refused_since: float | None = None
    refusal: Fault | None = None
    gave_up_at: float = -math.inf
    has_flex: bool = True
    flex: Scarcity = field(default_factory=Scarcity)

    def answered(self) -> None:
        """Note a reply: the server is there and takes requests."""
        self.failures, self.refused_since = 0, None

    def refused(self, fault: Fault, now: float) -> None:
        """Note a 429, the first one since the last reply or a further one."""
        self.refusal = fault
        self.refused_since = now if self.refused_since is None else self.refused_since

    def limit_fault(self) -> Fault:
        """Return the fault of requests that waited too long: their run is to pause."""
        fault = self.refusal or Fault(ErrorCode.RATE_LIMITED, ErrorCode.RATE_LIMITED.label)
        return replace(fault, pause=PauseReason.RATE_LIMITED)


Outcome: TypeAlias = ModelReply | Fault


@dataclass(slots=True)
class Sent:
    """The outcome of one or several HTTP requests, and the seconds spent in them."""

    outcome: Outcome
    request_id: str = ""
    seconds: float = 0.0
    requests: int = 1
    usage: TokenUsage = field(default_factory=TokenUsage)
    """What failed attempts cost, where the server said so."""


@dataclass(slots=True)
class Series:
    """The HTTP requests of one question so far: when it began, how many, the seconds in them."""

    began: float
    requests: int = 0
    seconds: float = 0.0
    request_id: str = ""
    usage: TokenUsage = field(default_factory=TokenUsage)

    def add(self, sent: Sent, seconds: float) -> None:
        self.requests += 1
        self.seconds += seconds
        self.request_id = sent.request_id or self.request_id


class Sender:
    """Sends requests, and keeps what each server taught about its models.

    Safe for any number of requests at once in its event loop.
    """

    def __init__(
        self,
        *,
        retry: RetryPolicy | None = None,
        limits: Limits | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._retry = retry or RetryPolicy()
        self._limits = limits or Limits()
        self._sleep = sleep
        self._now = now
        self._connections = Connections()
        self._states: dict[tuple[str, str], ServerState] = {}

    async def aclose(self) -> None:
        """Close all connections. The sender is not usable afterward."""
        await self._connections.aclose()
        await self._limits.aclose()

    def state(self, model: ModelSpec) -> ServerState:
        """Return the known facts about this model's server."""
        key = (model.key, model.structured_output)
        known = self._states.get(key)
        if known is None:
            first = FIRST_RUNG[StructuredMode(model.structured_output)]
            known = self._states[key] = ServerState(first)
        return known

    async def patiently(self, request: StructuredRequest, body: bytes, tokens: int) -> Sent:
        """Send, and again after transient faults, within the bounds of the retry policy.

        A rate limit isn't the request's fault: it waits for its turn at the model's throttle
        and is sent again, until the provider has rejected every request for too long. Nor is a
        flex tier without capacity: it is asked again, ever more slowly, in the same way.
        """
        policy, known, series = self._retry, self.state(request.model), Series(self._now())
        waited = 0.0
        tries = without_capacity = 0
        while True:
            await self._limits.reserve(request.model, request.priority, tokens)
            fault = await self._gated(request, body, series)
            if isinstance(fault, ModelReply):
                known.answered()
                if request.service_tier:
                    known.flex.over()
                break
            series.usage += fault.usage or TokenUsage()
            if not fault.transient or fault.pause is not None:
                break
            if _lacks_capacity(request, fault):
                if known.flex.met(self._now(), policy.flex_patience):
                    fault = _scarce(request.model, fault)
                    break
                without_capacity += 1
                await self._sleep(policy.delay(without_capacity, fault))
                continue
            if fault.code is ErrorCode.RATE_LIMITED:
                continue
            tries += 1
            delay = policy.delay(tries, fault)
            waited += delay
            if tries == policy.attempts or series.seconds + waited > policy.total:
                fault = self._given_up(known, fault)
                break
            await self._sleep(delay)
        return Sent(fault, series.request_id, series.seconds, series.requests, usage=series.usage)

    def _given_up(self, known: ServerState, fault: Fault) -> Fault:
        """A fault that outlasted all patience; after several in a row the server counts as down."""
        known.failures += 1
        if known.failures < DOWN_AFTER:
            return fault
        known.failures = 0
        return replace(fault, pause=PauseReason.PROVIDER_DOWN)

    async def _gated(self, request: StructuredRequest, body: bytes, series: Series) -> Outcome:
        """Send one HTTP request in its turn and note the server's rate limit.

        Nothing is sent once the provider has rejected every request for too long.
        """
        known, model = self.state(request.model), request.model
        gate = self._limits.gate(model)
        await gate.enter(request.priority)
        try:
            if not await self._limits.turn(
                model, request.priority, lambda: self._may_wait(known, series)
            ):
                return known.limit_fault()
            started = time.monotonic()
            if request.on_send is not None:
                request.on_send()
            sent = await self._send(request, body)
        finally:
            gate.leave()
        series.add(sent, time.monotonic() - started)
        if isinstance(sent.outcome, ModelReply):
            self._limits.answered(model)
        elif sent.outcome.code is ErrorCode.RATE_LIMITED and not _lacks_capacity(
            request, sent.outcome
        ):
            known.refused(sent.outcome, self._now())
            await self._limits.refused(
                model,
                seconds_ago=time.monotonic() - started,
                retry_after=sent.outcome.retry_after,
            )
            if not self._may_wait(known, series):
                return known.limit_fault()
        return sent.outcome

    def _may_wait(self, known: ServerState, series: Series) -> bool:
        """Return whether this request may wait on for a provider that limits the rate."""
        if known.gave_up_at >= series.began:
            return False
        if known.refused_since is None or known.refusal is None:
            return True
        patience, now = self._retry.limit_patience, self._now()
        if max(now - known.refused_since, known.refusal.retry_after or 0.0) < patience:
            return True
        known.gave_up_at, known.refused_since = now, None
        return False

    async def _send(self, request: StructuredRequest, body: bytes) -> Sent:
        """Return one HTTP request."""
        try:
            place = endpoint(request.model)
            response = await self._connections.get(place).ask(body, timeout_of(request))
        except MissingKeyError as error:
            return Sent(Fault(ErrorCode.AUTH, str(error), pause=PauseReason.AUTH))
        except NotRunningError as error:
            down = PauseReason.PROVIDER_DOWN
            return Sent(Fault(ErrorCode.CONNECTION, str(error), pause=down))
        except (openai.APIError, httpx2.TransportError, AnswerTooLongError) as error:
            return Sent(classify(error))
        if not 200 <= response.status < 300:
            return Sent(fault_of(response.status, response.content, response.headers))
        outcome = parse_reply(response.content, request.schema.name)
        request_id = response.headers.get("x-request-id", "")
        return Sent(outcome, request_id or (outcome.id if isinstance(outcome, ModelReply) else ""))


def timeout_of(request: StructuredRequest) -> float:
    """Return the time-out of each HTTP request, in seconds."""
    if request.timeout is not None:
        return request.timeout
    return FLEX_SECONDS if request.service_tier else STANDARD_SECONDS


def _lacks_capacity(request: StructuredRequest, fault: Fault) -> bool:
    """Return whether a request was rejected for its service tier alone."""
    return fault.no_capacity and bool(request.service_tier)


def _scarce(model: ModelSpec, fault: Fault) -> Fault:
    """Return the fault of a flex tier without capacity for long: its run is to wait."""
    message = f"{model.name} has no flex capacity now. The provider says: {fault.message}"
    return replace(fault, message=message, pause=PauseReason.RATE_LIMITED)

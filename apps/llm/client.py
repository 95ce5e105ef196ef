"""Ask a model for a response that fits a schema, through whatever goes wrong on the way.

One ``LlmClient`` belongs to one event loop and lives as long as it. It never
raises for what a server does: every outcome is a ``StructuredAnswer``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from apps.llm.answer_text import is_refusal, parse_output
from apps.llm.errors import ErrorCode, PauseReason
from apps.llm.failed_request import Fault, RetryPolicy
from apps.llm.key_masks import mask_keys
from apps.llm.limits import Limits
from apps.llm.questions import MESSAGE_LENGTH, Question
from apps.llm.replies import Message, ModelReply, Rung
from apps.llm.sender import Outcome, Sender
from apps.llm.specs import ModelSpec, TokenUsage
from apps.llm.structured import StructuredAnswer, StructuredRequest
from apps.llm.text import shorten
from apps.llm.tokens import estimate_messages

_IGNORED_AFTER = 3
_QUOTED = 4_000
# What asking again adds to the response that it quotes: the rule that was missed.
_REPLY_TOKENS = 500


class LlmClient:
    """The one way to a model. Safe for any number of requests at once in its event loop."""

    def __init__(
        self,
        *,
        retry: RetryPolicy | None = None,
        limits: Limits | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sender = Sender(retry=retry, limits=limits, sleep=sleep, now=now)

    async def complete(self, request: StructuredRequest) -> StructuredAnswer:
        """Ask, go down the ladder where the server rejects, validate the response."""
        return await _Attempt(self.sender, request).run()

    async def aclose(self) -> None:
        """Close all connections. The client is not usable afterward."""
        await self.sender.aclose()


class _Attempt(Question):
    """The way of one request down the ladder."""

    def __init__(self, sender: Sender, request: StructuredRequest) -> None:
        known = sender.state(request.model)
        if request.tier_fallback and not known.has_flex:
            request = replace(request, service_tier="")
        super().__init__(request, known)
        self.sender = sender
        if request.model.tokens_per_minute is not None:
            self.tokens = max(self.sent_tokens, self.cap)  # as providers charge their limit

    @property
    def sent_tokens(self) -> int:
        """Return the tokens of the question, as its caller or its texts say."""
        return self.request.input_tokens or estimate_messages(
            *(m["content"] for m in self.messages)
        )

    async def run(self) -> StructuredAnswer:
        said, answer = await self.ask()
        if said is not None and answer.error is ErrorCode.INVALID_OUTPUT:
            if not await self.may_repeat(self.cap, more_input=self.cap + _REPLY_TOKENS):
                return replace(answer, pause=PauseReason.BUDGET)
            answer = await self.ask_again(said, answer)
        if answer.error is ErrorCode.INVALID_OUTPUT and is_refusal(answer.raw_text):
            message = shorten(mask_keys(answer.raw_text), MESSAGE_LENGTH)
            return replace(answer, error=ErrorCode.REFUSAL, error_message=message)
        return answer

    async def ask(self) -> tuple[str | None, StructuredAnswer]:
        """Go down the rungs until the server takes one; a truncated response gets a larger cap.

        Returns what the model said, too, where it said anything.
        """
        grown = False
        cut: tuple[str, StructuredAnswer] | None = None
        while True:
            outcome = await self.send()
            if isinstance(outcome, Fault):
                if self.adapt(outcome):
                    continue
                if cut is not None and not outcome.transient and outcome.pause is None:
                    return cut
                return outcome.failed_text if outcome.asks_again else None, self.failed(outcome)
            answer = self.judge(outcome)
            larger = self.request.model.max_output_tokens
            if answer.error is ErrorCode.LENGTH and not grown and larger > self.cap:
                if not await self.may_repeat(larger):
                    return None, replace(answer, pause=PauseReason.BUDGET)
                self.cap, grown, cut = larger, True, (outcome.text, answer)
                continue
            if answer.output is not None and self.rung is self.known.rung:
                self.known.ignored = 0
            return outcome.text, answer

    async def ask_again(self, said: str, first: StructuredAnswer) -> StructuredAnswer:
        """Ask once more with the validator's message; else return the first response's failure.

        A server that returned prose has ignored the mode: it is asked in words instead.
        """
        prose = said.strip() != "" and not first.rejected and isinstance(parse_output(said), str)
        asked = self.rung
        if prose:
            self.rung = Rung.JSON
        quoted = [Message(role="assistant", content=shorten(said, _QUOTED))] if said else []
        self.messages = (
            *self.messages,
            *quoted,
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
        """Send the question; at the standard tier where flex isn't to be had and that may be."""
        outcome = await self.send_once()
        if not self.request.service_tier or not isinstance(outcome, Fault):
            return outcome
        if _rejects_tier(outcome):
            self.known.has_flex = False
            outcome = _without_flex(self.request.model, outcome)
        elif not (outcome.no_capacity and outcome.pause):
            return outcome
        if not self.request.tier_fallback:
            return outcome
        self.request = replace(self.request, service_tier="")
        return await self.send_once()

    async def send_once(self) -> Outcome:
        sent = await self.sender.patiently(self.request, self.body(), self.tokens)
        outcome = sent.outcome
        self.requests += sent.requests
        self.seconds += sent.seconds
        self.request_id = sent.request_id or self.request_id
        self.usage += sent.usage
        if isinstance(outcome, ModelReply):
            self.count(outcome)
        return outcome

    def adapt(self, fault: Fault) -> bool:
        """Learn from a rejection. Return whether to ask again in another way."""
        known, said = self.known, f"{fault.parameter} {fault.message}"
        learned = False
        if fault.status in (400, 422):
            if known.cap_name in said and known.cap_name == "max_completion_tokens":
                known.cap_name, learned = "max_tokens", True
            if known.cache_key and "prompt_cache_key" in said:
                known.cache_key, learned = False, True
        if learned:
            return True
        if not fault.refuses_mode or self.rung is Rung.JSON:
            return False
        self.rung = Rung(self.rung + 1)
        known.rung = max(known.rung, self.rung) if self.request.schema.closed else known.rung
        return True

    async def may_repeat(self, output: int, *, more_input: int = 0) -> bool:
        """Return whether a further paid request is allowed, of up to ``output`` tokens."""
        if self.request.may_repeat is None:
            return True
        usage = TokenUsage(self.sent_tokens + more_input, 0, output)
        return await self.request.may_repeat(usage)


def _rejects_tier(fault: Fault) -> bool:
    """Return whether a server takes no request at the flex tier for this model."""
    return fault.status in {400, 422} and "service_tier" in f"{fault.parameter} {fault.message}"


def _without_flex(model: ModelSpec, fault: Fault) -> Fault:
    """Return the fault of a model that has no flex tier: a request for it can't succeed."""
    message = f"The provider doesn't offer flex for {model.name}. It says: {fault.message}"
    return replace(fault, message=message, pause=PauseReason.PROVIDER_DOWN, refuses_mode=False)

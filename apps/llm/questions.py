"""One question to a model: the body of its request, and the meaning of a reply.

Nothing is sent here: `client` sends at once, `batch_lines` through files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from apps.llm.answer_text import only_object, parse_output, unwrapped
from apps.llm.errors import ErrorCode
from apps.llm.failed_request import Fault
from apps.llm.finish_reasons import Finish
from apps.llm.key_masks import mask_keys
from apps.llm.pricing import FLEX
from apps.llm.replies import Message, ModelReply, Rung, estimated_usage, request_body
from apps.llm.schema import Verdict, checker
from apps.llm.schema.answers import no_field
from apps.llm.sender import ServerState
from apps.llm.specs import TokenUsage
from apps.llm.structured import StructuredAnswer, StructuredRequest
from apps.llm.text import shorten

MESSAGE_LENGTH = 2_000
_OPEN_KEYWORDS = ("additionalProperties", "patternProperties", "unevaluatedProperties")


class Question:
    """A request with what its replies cost so far; ``known`` are the facts of its server."""

    def __init__(self, request: StructuredRequest, known: ServerState) -> None:
        self.request = request
        self.known = known
        self.rung = known.rung
        if self.rung is Rung.STRICT and not request.schema.closed:
            self.rung = Rung.TOOL
        self.fields = _fields(request)
        self.cap = request.max_output_tokens
        self.messages: tuple[Message, ...] = tuple(request.messages)
        self.usage = TokenUsage()
        self.flex_usage = TokenUsage()
        self.tier = ""
        self.estimated = False
        self.usage_note = ""
        self.requests = 0
        self.request_id = ""
        self.seconds = 0.0
        self.tokens = 0

    def body(self) -> bytes:
        """Return the body of the request."""
        return request_body(
            self.request.model,
            self.messages,
            self.request.schema,
            self.rung,
            self.cap,
            self.known.cap_name,
            self.request.cache_key if self.known.cache_key else "",
            self.request.service_tier,
        )

    def count(self, reply: ModelReply) -> None:
        """Add what a reply cost; what its server does not say is estimated."""
        report = reply.usage
        self.estimated = self.estimated or not report.is_complete
        self.usage_note = report.note or self.usage_note
        estimate = TokenUsage()
        if not report.is_complete:
            text = reply.text or reply.reasoning
            estimate = estimated_usage(self.request.model, self.messages, text)
        used = report.filled(estimate)
        self.usage += used
        self.tier = reply.tier
        if reply.tier == FLEX:
            self.flex_usage += used

    def judge(self, reply: ModelReply) -> StructuredAnswer:
        """Validate a reply against the request. Nothing is ever repaired."""
        said = reply.text
        match reply.finish:
            case _ if reply.refusal:
                return self.error(ErrorCode.REFUSAL, reply.refusal, reply.refusal)
            case Finish.REFUSAL:
                return self.error(ErrorCode.REFUSAL, said or ErrorCode.REFUSAL.label, said)
            case Finish.FILTER:
                return self.error(ErrorCode.CONTENT_FILTER, ErrorCode.CONTENT_FILTER.label, said)
            case Finish.LENGTH:
                message = f"The response was cut off after {self.cap:,} tokens."
                return self.error(ErrorCode.LENGTH, message, said)
            case Finish.GENERATION if not said.strip():
                message = "The model called its tool in a form that the provider could not read."
                return self.error(ErrorCode.INVALID_OUTPUT, message, "", rejected=True)
        if not said.strip():
            return self.from_reasoning(reply)
        value = parse_output(said)
        if isinstance(value, str):
            return self.error(ErrorCode.INVALID_OUTPUT, value, said)
        return self.examine(value, said)

    def from_reasoning(self, reply: ModelReply) -> StructuredAnswer:
        """Return the response of a server that files it under the model's thoughts.

        Only where the thoughts are the response and nothing else, and it fits: what a model drafts
        while it thinks is not its response.
        """
        value = only_object(reply.reasoning)
        answer = self.examine(value, reply.reasoning) if value else None
        if answer is not None and answer.error is None:
            return answer
        return self.error(ErrorCode.EMPTY_OUTPUT, ErrorCode.EMPTY_OUTPUT.label, "")

    def examine(self, value: dict[str, object], said: str) -> StructuredAnswer:
        """Validate an object against the operator's schema."""
        answer = unwrapped(value, self.fields)
        if answer is None:
            return self.error(ErrorCode.INVALID_OUTPUT, no_field(value), said)
        verdict: Verdict = checker(self.request.original_schema).examine(answer)
        if verdict.problems:
            return self.error(ErrorCode.INVALID_OUTPUT, "; ".join(verdict.problems), said)
        return self.finished(
            StructuredAnswer(
                output=verdict.output,
                missing_required=verdict.missing_required,
                raw_text=shorten(said),
            )
        )

    def error(
        self, code: ErrorCode, message: str, raw: str, *, rejected: bool = False
    ) -> StructuredAnswer:
        return self.finished(
            StructuredAnswer(
                error=code,
                error_message=shorten(mask_keys(message), MESSAGE_LENGTH),
                raw_text=shorten(raw),
                rejected=rejected,
            )
        )

    def failed(self, fault: Fault) -> StructuredAnswer:
        code = ErrorCode.SCHEMA_REJECTED if fault.refuses_mode else fault.code
        return self.finished(
            StructuredAnswer(
                error=code,
                error_message=mask_keys(fault.message),
                raw_text=shorten(fault.failed_text),
                rejected=fault.asks_again,
                pause=fault.pause,
                retry_after=fault.retry_after,
                transient=fault.transient,
            )
        )

    def finished(self, answer: StructuredAnswer) -> StructuredAnswer:
        """Return the response with all the usage so far."""
        return replace(
            answer,
            usage=self.usage,
            flex_usage=self.flex_usage,
            service_tier=self.tier,
            usage_estimated=self.estimated,
            usage_note=self.usage_note,
            requests=self.requests,
            latency_ms=round(self.seconds * 1_000),
            provider_request_id=self.request_id,
        )


def _fields(request: StructuredRequest) -> frozenset[str] | None:
    """Return the names that a response may have; ``None`` where the schema allows any."""
    if any(request.original_schema.get(key) for key in _OPEN_KEYWORDS):
        return None
    properties = request.schema.schema.get("properties")
    return frozenset(properties) if isinstance(properties, Mapping) else None

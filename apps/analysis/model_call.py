"""Ask a model about one claimed analysis and return the outcome."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.utils import timezone

from apps.agents.documents import ConfigDocument
from apps.llm import batch_lines
from apps.llm.client import LlmClient
from apps.llm.errors import INTERNAL_MESSAGE, ErrorCode, PauseReason
from apps.llm.schema import CompiledSchema, compile_strict
from apps.llm.specs import ModelSpec, Priority, TokenUsage
from apps.llm.structured import StructuredAnswer, StructuredRequest
from apps.llm.tokens import estimate_tokens

from . import prompts
from .claims import AnalysisJob
from .prompts import fence_word

logger = logging.getLogger(__name__)


MayRepeat = Callable[[TokenUsage], Awaitable[bool]]


@dataclass(slots=True)
class AnalysisOutcome:
    """How a job ended. ``error_code`` is empty for a success.

    ``requests`` counts the requests that were sent: they are paid for even if the result is lost.
    ``pause`` (a `PauseReason`) asks the queue to pause the run; the job itself is handed back and
    nothing is recorded but the ledger. ``transient``: the same request may succeed later.
    ``retry_after``: the provider's own delay in seconds.
    ``flex_usage`` is the part of ``usage`` that the provider reports for its flex tier; ``tier`` is
    the one it reported last.
    """

    job: AnalysisJob
    output: dict[str, Any] | None = None
    missing_required: list[str] = field(default_factory=list)
    error_code: str = ""
    error_message: str = ""
    raw_output: str = ""
    usage: TokenUsage = field(default_factory=TokenUsage)
    flex_usage: TokenUsage = field(default_factory=TokenUsage)
    tier: str = ""
    usage_estimated: bool = False
    usage_note: str = ""
    requests: int = 0
    latency_ms: int = 0
    request_id: str = ""
    messages_read: int = 0
    truncated: bool = False
    started_at: datetime | None = None
    pause: str = ""
    transient: bool = False
    retry_after: float | None = None

    @property
    def can_wait(self) -> bool:
        """Return whether waiting may help, without a person: anything but a rejected key."""
        return bool(self.error_code) and (
            self.transient or self.pause not in {"", PauseReason.AUTH.value}
        )

    def without_answer(self) -> "AnalysisOutcome":
        """Return a failure that keeps only what the response cost: any part of it may be what the
        database rejected.

        The error itself is in the log only: a database's message holds SQL and parts of rows.
        """
        return replace(
            self,
            output=None,
            raw_output="",
            missing_required=[],
            request_id="",
            error_code=ErrorCode.INTERNAL,
            error_message=f"Couldn’t save the result. {INTERNAL_MESSAGE}",
        )


async def perform(
    job: AnalysisJob,
    client: LlmClient,
    *,
    on_send: Callable[[], None] | None = None,
    may_repeat: MayRepeat | None = None,
) -> AnalysisOutcome:
    """Ask the model about the job's conversation. Never raise: an error of Debrief is `internal`.

    ``on_send`` is called when the request leaves, after its wait for the model's limits; until
    then the caller may cancel it, and nothing was paid for. ``may_repeat`` is asked before a
    further request about the same conversation, with the tokens that it takes at most.
    """
    started = timezone.now()
    try:
        outcome = await _ask(job, client, on_send, may_repeat)
    except prompts.TranscriptTooLong as error:
        outcome = AnalysisOutcome(
            job, error_code=ErrorCode.TRANSCRIPT_TOO_LONG, error_message=str(error)
        )
    except Exception:  # whatever it is, the run goes on and the item says what it was
        logger.exception("%s failed inside", job.public_id)
        outcome = AnalysisOutcome(
            job, error_code=ErrorCode.INTERNAL, error_message=INTERNAL_MESSAGE
        )
    outcome.started_at = started
    if outcome.error_code and not outcome.transient and not outcome.pause:
        provider = {"provider_request_id": outcome.request_id}
        logger.info("Analysis failed: %s", outcome.error_code, extra=provider)
    return outcome


async def _ask(
    job: AnalysisJob,
    client: LlmClient,
    on_send: Callable[[], None] | None,
    may_repeat: MayRepeat | None,
) -> AnalysisOutcome:
    prompt, request = _request(job)
    tier = job.tier.name if job.spec.flex_factor is not None else ""
    answer = await client.complete(
        replace(
            request,
            service_tier=tier,
            tier_fallback=job.tier.falls_back,
            on_send=on_send,
            may_repeat=may_repeat,
        )
    )
    return _outcome(job, prompt, answer)


def request_line(job: AnalysisJob, custom_id: str) -> bytes:
    """Return a job's request as a line of a batch file. Raises prompts.TranscriptTooLong."""
    return batch_lines.request_line(custom_id, _request(job)[1])


@dataclass(frozen=True, slots=True)
class LineOutcome:
    """The outcome of a job by a line of a batch, and the next step for the job."""

    outcome: AnalysisOutcome
    next: batch_lines.Next
    unsent: bool = False


def judge_line(job: AnalysisJob, line: Mapping[str, Any]) -> LineOutcome:
    """Return what a line of a batch's result says about a job, judged as a live response is.

    Raises prompts.TranscriptTooLong where the model's context shrank since it was sent.
    """
    prompt, request = _request(job)
    judged = batch_lines.judge_line(line, request)
    return LineOutcome(_outcome(job, prompt, judged.answer), judged.next, judged.unsent)


def _request(job: AnalysisJob) -> tuple[prompts.Prompt, StructuredRequest]:
    """Return the prompt of a job, and its question at the standard tier."""
    cap = output_cap(job.config, job.spec)
    shape = compiled(job.config_sha256, job.config)
    prompt = prompts.build(
        job.config,
        job.facts,
        job.messages,
        word=fence_word(),
        context_tokens=job.spec.context_tokens,
        output_tokens=cap,
        schema_tokens=shape.tokens,
        transcript_tokens=job.transcript_tokens,
    )
    return prompt, StructuredRequest(
        model=job.spec,
        messages=(
            {"role": "system", "content": prompt.system},
            {"role": "user", "content": prompt.user},
        ),
        schema=shape.schema,
        original_schema=shape.original,
        max_output_tokens=cap,
        cache_key=job.config_sha256[:16],
        priority=Priority(job.priority),
        input_tokens=prompt.input_tokens,
    )


def _outcome(job: AnalysisJob, prompt: prompts.Prompt, answer: StructuredAnswer) -> AnalysisOutcome:
    return AnalysisOutcome(
        job,
        output=answer.output,
        missing_required=list(answer.missing_required),
        error_code=answer.error or "",
        error_message=answer.error_message,
        raw_output=answer.raw_text if answer.error else "",
        usage=answer.usage,
        flex_usage=answer.flex_usage,
        tier=answer.service_tier,
        usage_estimated=answer.usage_estimated,
        usage_note=answer.usage_note,
        requests=answer.requests,
        latency_ms=answer.latency_ms,
        request_id=answer.provider_request_id,
        messages_read=prompt.messages_read,
        truncated=prompt.truncated,
        pause=answer.pause or "",
        transient=answer.transient,
        retry_after=answer.retry_after,
    )


def longest_transcript(sha256: str, config: ConfigDocument, spec: ModelSpec) -> int | None:
    """Return the tokens above which this config rejects a transcript; None where it cuts it."""
    room = prompts.transcript_room(
        config,
        context_tokens=spec.context_tokens,
        output_tokens=output_cap(config, spec),
        schema_tokens=compiled(sha256, config).tokens,
    )
    return prompts.longest_transcript(config, room)


def output_cap(config: ConfigDocument, spec: ModelSpec) -> int:
    """Return the first cap of a response in tokens, by its number of fields, within the model's."""
    traits = spec.server
    wanted = max(traits.least_output_tokens, traits.tokens_per_field * len(config.field_names()))
    return min(wanted, spec.max_output_tokens)


@dataclass(frozen=True, slots=True)
class Shape:
    """The schema of a response: as sent, as the operator wrote it, and the tokens it takes."""

    schema: CompiledSchema
    original: dict[str, Any]
    tokens: int


_shapes: dict[str, Shape] = {}
_SHAPES_KEPT = 512


def compiled(sha256: str, config: ConfigDocument) -> Shape:
    """Return the schema as sent, byte-stable for a config, and the operator's own to check by."""
    found = _shapes.get(sha256)
    if found is None:
        original = config.answer_schema()
        always = tuple(b.name for b in config.built_ins if b.required)
        schema = compile_strict(original, required_names=always)
        found = Shape(schema, original, estimate_tokens(schema.text))
        while len(_shapes) >= _SHAPES_KEPT:
            _shapes.pop(next(iter(_shapes)))
        _shapes[sha256] = found
    return found

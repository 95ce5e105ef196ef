"""One job, one request: from a claimed analysis to its outcome."""

import logging
from typing import Any

from django.utils import timezone

from apps.agents.documents import ConfigDocument
from apps.llm.client import LlmClient, StructuredAnswer, StructuredRequest
from apps.llm.errors import ErrorCode
from apps.llm.limits import Lane
from apps.llm.schema import CompiledSchema, compile_strict

from . import prompts
from .work import Job, Outcome

logger = logging.getLogger(__name__)

#: Tokens that an answer may have at first, per field: providers charge a cap against the rate.
TOKENS_PER_FIELD = 160
MIN_OUTPUT_TOKENS = 600


async def perform(job: Job, client: LlmClient) -> Outcome:
    """Ask the model about the job's conversation. Never raises: a fault of ours is `internal`."""
    started = timezone.now()
    try:
        outcome = await _ask(job, client)
    except prompts.TranscriptTooLong as error:
        outcome = Outcome(job, error_code=ErrorCode.TRANSCRIPT_TOO_LONG, error_message=str(error))
    except Exception as error:  # whatever it is, the run goes on and the item says what it was
        logger.exception("%s failed inside", job.public_id)
        outcome = Outcome(
            job,
            error_code=ErrorCode.INTERNAL,
            error_message=f"{type(error).__name__}: {error}"[:500],
        )
    outcome.started_at = started
    return outcome


async def _ask(job: Job, client: LlmClient) -> Outcome:
    cap = output_cap(job.config, job.spec.max_output_tokens)
    prompt = prompts.build(
        job.config,
        job.facts,
        job.messages,
        context_tokens=job.spec.context_tokens,
        output_tokens=cap,
    )
    schema, original = compiled(job.config_sha256, job.config)
    answer = await client.complete(
        StructuredRequest(
            model=job.spec,
            messages=(
                {"role": "system", "content": prompt.system},
                {"role": "user", "content": prompt.user},
            ),
            schema=schema,
            original_schema=original,
            max_output_tokens=cap,
            cache_key=job.config_sha256[:16],
            lane=Lane(job.lane),
            input_tokens=prompt.input_tokens,
        )
    )
    return _outcome(job, prompt, answer)


def _outcome(job: Job, prompt: prompts.Prompt, answer: StructuredAnswer) -> Outcome:
    return Outcome(
        job,
        output=answer.output,
        missing_required=list(answer.missing_required),
        error_code=answer.error or "",
        error_message=answer.error_message,
        raw_output=answer.raw_text if answer.error else "",
        usage=answer.usage,
        requests=answer.requests,
        latency_ms=answer.latency_ms,
        request_id=answer.provider_request_id,
        messages_read=prompt.messages_read,
        truncated=prompt.truncated,
        pause=answer.pause or "",
    )


def output_cap(config: ConfigDocument, model_limit: int) -> int:
    """The answer's first cap in tokens, by the number of fields, within the model's own."""
    wanted = max(MIN_OUTPUT_TOKENS, TOKENS_PER_FIELD * len(config.field_names()))
    return min(wanted, model_limit)


_schemas: dict[str, tuple[CompiledSchema, dict[str, Any]]] = {}
_SCHEMAS_KEPT = 512


def compiled(sha256: str, config: ConfigDocument) -> tuple[CompiledSchema, dict[str, Any]]:
    """The schema as it is sent, byte-stable for a config, and the operator's own to check by."""
    found = _schemas.get(sha256)
    if found is None:
        original = config.answer_schema()
        always = tuple(b.name for b in config.built_ins if b.required)
        found = compile_strict(original, required_names=always), original
        while len(_schemas) >= _SCHEMAS_KEPT:
            _schemas.pop(next(iter(_schemas)))
        _schemas[sha256] = found
    return found

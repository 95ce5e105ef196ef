"""Asking a provider whether it is back, with the smallest question there is."""

import asyncio
from dataclasses import dataclass

from apps.llm.client import LlmClient
from apps.llm.failed_request import RetryPolicy
from apps.llm.replies import Message
from apps.llm.schema import compile_strict
from apps.llm.specs import ModelSpec, Priority
from apps.llm.structured import StructuredAnswer, StructuredRequest

PROBE_SECONDS = 30.0
FLEX_PROBE_SECONDS = 60.0
"""The time-out at the flex tier. A request of a backfill may take far longer, but a probe holds a
thread of a worker, and the next one may be due before it ends."""
_SCHEMA: dict[str, object] = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
_QUESTION = Message(role="user", content='Answer with {"ok": true}.')


@dataclass(frozen=True, slots=True)
class Probe:
    """The outcome of a probe: whether the provider takes requests, else why not."""

    spec: ModelSpec
    answer: StructuredAnswer

    @property
    def is_back(self) -> bool:
        """Whether it responded at all: the response to so small a question matters little."""
        return self.answer.pause is None and not self.answer.transient


def probe(spec: ModelSpec, *, tier: str = "", seconds: float | None = None) -> Probe:
    """Ask the model's provider once, without patience; from a thread without an event loop."""
    if seconds is None:
        seconds = FLEX_PROBE_SECONDS if tier else PROBE_SECONDS
    return Probe(spec, asyncio.run(_ask(spec, tier, seconds)))


async def _ask(spec: ModelSpec, tier: str, seconds: float) -> StructuredAnswer:
    client = LlmClient(retry=RetryPolicy(attempts=1, limit_patience=0.0, flex_patience=0.0))
    try:
        return await client.complete(
            StructuredRequest(
                model=spec,
                messages=(_QUESTION,),
                schema=compile_strict(_SCHEMA),
                original_schema=_SCHEMA,
                max_output_tokens=min(64, spec.max_output_tokens),
                timeout=seconds,
                service_tier=tier,
                priority=Priority.INTERACTIVE,
            )
        )
    finally:
        await client.aclose()

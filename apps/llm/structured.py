"""One question to a model, and the outcome: a response that fits a schema, or why there is none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from apps.llm.errors import ErrorCode, PauseReason
from apps.llm.replies import Message
from apps.llm.schema import CompiledSchema
from apps.llm.specs import ModelSpec, Priority, TokenUsage


@dataclass(frozen=True, slots=True)
class StructuredRequest:
    """One question to a model. ``original_schema`` judges the response, built-ins included."""

    model: ModelSpec
    messages: Sequence[Message]
    schema: CompiledSchema
    original_schema: Mapping[str, object]
    max_output_tokens: int = 1_024
    cache_key: str = ""
    timeout: float | None = None
    """Of each HTTP request, in seconds; by default that of its service tier."""
    service_tier: str = ""
    """`flex`, or empty for the standard tier."""
    tier_fallback: bool = False
    """Whether the standard tier is asked where the other one has no capacity for long."""
    priority: Priority = Priority.LIVE
    input_tokens: int | None = None
    """As estimated by the caller; for the limit of tokens per minute only."""
    on_send: Callable[[], None] | None = None
    """Called right before anything is sent, when the model's limits let it through."""
    may_repeat: Callable[[TokenUsage], Awaitable[bool]] | None = None
    """Asked before a further paid request about the same question, with the most that it takes.
    Where the result is False, the question ends with what there is and pauses for the budget."""


@dataclass(frozen=True, slots=True)
class StructuredAnswer:
    """The outcome of a request. Either ``output`` or ``error`` is set, never both.

    ``usage`` is the sum over all ``requests`` with a response; ``usage_estimated`` says that
    the server's own numbers could not be used for some of it. ``latency_ms`` is the time spent in
    requests, without waiting for limits or between attempts. ``pause`` asks the run to stop: no
    other request would fare better.
    """

    output: dict[str, object] | None = None
    missing_required: list[str] = field(default_factory=list)
    raw_text: str = ""
    error: ErrorCode | None = None
    error_message: str = ""
    usage: TokenUsage = field(default_factory=TokenUsage)
    flex_usage: TokenUsage = field(default_factory=TokenUsage)
    """The part of ``usage`` that the server reports for the flex tier."""
    service_tier: str = ""
    """The tier that the server reported last; empty where it reports none."""
    usage_estimated: bool = False
    usage_note: str = ""
    """How counts of the server that contradict themselves were read."""
    rejected: bool = False
    """The provider itself rejected what the model generated."""
    requests: int = 0
    latency_ms: int = 0
    provider_request_id: str = ""
    pause: PauseReason | None = None
    retry_after: float | None = None
    transient: bool = False
    """Whether the same request may fare better later: nothing is wrong with it."""

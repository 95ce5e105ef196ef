"""Read token counts as any provider reports them.

Providers agree neither on names nor on what a count includes. Where a report has a total, it
decides whether cached tokens are a part of the prompt's and reasoning tokens of the response's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from apps.llm.specs import TokenUsage

_INPUT = (
    *("prompt_tokens", "input_tokens", "promptTokenCount", "prompt_token_count", "inputTokens"),
    *("promptTokens", "input_token_count", "prompt_eval_count", "tokens_evaluated"),
    *("inputTokenCount", "inputTextTokenCount"),
)
_OUTPUT = (
    *("completion_tokens", "output_tokens", "candidatesTokenCount", "candidates_token_count"),
    *("outputTokens", "completionTokens", "generated_token_count", "eval_count"),
    *("tokens_predicted", "generated_tokens", "generation_token_count", "outputTokenCount"),
)
_TOTAL = ("total_tokens", "totalTokenCount", "total_token_count", "totalTokens")
_CACHED = (
    *("cached_tokens", "prompt_cache_hit_tokens", "cachedContentTokenCount"),
    *("cached_content_token_count", "num_cached_tokens", "cached_prompt_tokens"),
    *("cachedInputTokens", "cachedTokens", "input_cached_tokens", "cache_hit_tokens"),
    "prompt_cached_tokens",
)
_CACHE_READ = (
    *("cache_read_input_tokens", "cacheReadInputTokens", "cache_read_tokens"),
    "cacheReadInputTokenCount",
)
_CACHE_WRITE = (
    *("cache_creation_input_tokens", "cacheWriteInputTokens", "cache_write_tokens"),
    "cacheWriteInputTokenCount",
)
_REASONING = (
    *("reasoning_tokens", "reasoningTokens", "thoughtsTokenCount", "thoughts_token_count"),
    "thinking_tokens",
)
_TOOL_PROMPT = ("toolUsePromptTokenCount", "tool_use_prompt_token_count")
_ENVELOPES = ("data", "result", "response", "output")
_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details", "output_token_details")
# Names of reports whose input leaves out what the cache served, and whose output the thoughts.
_EXCLUSIVE_INPUT = frozenset(("input_tokens", "inputTokens"))
_EXCLUSIVE_OUTPUT = frozenset(("candidatesTokenCount", "candidates_token_count"))


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Token counts of one reply; ``None`` is what the provider did not say believably.

    ``note`` says how a count that contradicts itself was read.
    """

    input: int | None = None
    cached: int = 0
    output: int | None = None
    note: str = ""

    @property
    def is_complete(self) -> bool:
        return self.input is not None and self.output is not None

    def filled(self, estimate: TokenUsage) -> TokenUsage:
        """Return the counts, with an estimate in place of each that is missing."""
        sent = estimate.input if self.input is None else self.input
        output = estimate.output if self.output is None else self.output
        return TokenUsage(sent, min(self.cached, sent), output)


def read_usage(reply: Mapping[str, object], *, has_text: bool) -> UsageReport:
    """Return the token counts of a reply. ``has_text``: zero output tokens can't be true."""
    for usage in _places(reply):
        report = _report(usage, has_text=has_text)
        if report.input is not None or report.output is not None:
            return report
    return UsageReport()


def _places(reply: Mapping[str, object]) -> list[Mapping[str, object]]:
    choices = reply.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    found = [
        reply.get("usage"),
        reply.get("usageMetadata"),
        reply.get("usage_metadata"),
        reply.get("token_usage"),
        reply.get("tokenUsage"),
        _inner(reply.get("x_groq"), "usage"),
        *(_inner(reply.get(envelope), "usage") for envelope in _ENVELOPES),
        *(_inner(reply.get(place), "tokens") for place in ("usage", "meta")),
        _inner(first, "usage"),
        reply,
    ]
    return [place for place in found if isinstance(place, dict)]


def _inner(place: object, name: str) -> object:
    return place.get(name) if isinstance(place, dict) else None


def _report(usage: Mapping[str, object], *, has_text: bool) -> UsageReport:
    input_name, sent = _first(usage, _INPUT)
    output_name, received = _first(usage, _OUTPUT)
    total = _first(usage, _TOTAL)[1]
    details = _details(usage, _INPUT_DETAILS)
    read = _first(usage, _CACHE_READ)[1] or _first(details, _CACHE_READ)[1]
    cached = _largest(_first(usage, _CACHED)[1], _first(details, _CACHED)[1], read)
    written = _first(usage, _CACHE_WRITE)[1] or _first(details, _CACHE_WRITE)[1] or 0
    thoughts = _largest(
        _first(usage, _REASONING)[1], _first(_details(usage, _OUTPUT_DETAILS), _REASONING)[1]
    )
    if sent is not None:
        sent += _first(usage, _TOOL_PROMPT)[1] or 0
    sent, received = _completed(sent, received, total)
    if sent is not None and received is not None:
        counts = _Counts(sent, cached, written, received, thoughts, total)
        counts.settle(
            cache_apart=input_name in _EXCLUSIVE_INPUT and (bool(read) or bool(written)),
            cache_named_apart=bool(read),
            thoughts_apart=output_name in _EXCLUSIVE_OUTPUT,
        )
        sent, cached, received, note = counts.sent, counts.cached, counts.received, counts.note
    else:
        note = ""
    return UsageReport(
        sent or None,  # a request always has tokens: zero is a server that doesn't count
        min(cached, sent or cached),
        None if received is None or (received == 0 and has_text) else received,
        note,
    )


@dataclass(slots=True)
class _Counts:
    """The counts of a report while it is made out what includes what."""

    sent: int
    cached: int
    written: int
    received: int
    thoughts: int
    total: int | None
    note: str = ""

    def settle(self, *, cache_apart: bool, cache_named_apart: bool, thoughts_apart: bool) -> None:
        """Add cached tokens to the input, and thoughts to the output, where they are next to it."""
        beside = self.cached + self.written
        missing = 0 if self.total is None else self.total - self.sent - self.received
        thoughts_apart = thoughts_apart or self.thoughts > self.received
        if self.total is None or missing <= 0:
            believed = self.total is None
            cache_apart = cache_apart or (cache_named_apart and self.cached > self.sent)
            if cache_apart and (believed or missing < 0 or beside > self.sent):
                self.sent += beside
            if thoughts_apart and believed:
                self.received += self.thoughts
        else:
            self._explain(missing, beside)
        if self.cached > self.sent:
            self.note = (
                f"The provider reported {self.cached:,} cached of {self.sent:,} input tokens; "
                f"{self.sent:,} are counted."
            )
            self.cached = self.sent

    def _explain(self, missing: int, beside: int) -> None:
        """Account for what a total has more than input and output."""
        if beside and missing in {beside, beside + self.thoughts}:
            self.sent += beside
            missing -= beside
        elif self.cached and missing in {self.cached, self.cached + self.thoughts}:
            self.sent += self.cached
            missing -= self.cached
        # What is left are thoughts, named or not: they are charged like the answer.
        self.received += missing


def _completed(
    sent: int | None, received: int | None, total: int | None
) -> tuple[int | None, int | None]:
    """Fill in one count that is missing from the total."""
    if total is not None:
        if received is None and sent is not None and total >= sent:
            received = total - sent
        elif sent is None and received is not None and total > received:
            sent = total - received
    return sent, received


def _details(usage: Mapping[str, object], names: tuple[str, ...]) -> Mapping[str, object]:
    for name in names:
        if isinstance(found := usage.get(name), dict):
            return found
    return {}


def _first(usage: Mapping[str, object], names: tuple[str, ...]) -> tuple[str, int | None]:
    """Return the first of these counts that is there and believable, with its name."""
    for name in names:
        found = usage.get(name)  # of some thirty names that servers use, most are not there
        if found is not None and (count := _count(found)) is not None:
            return name, count
    return "", None


def _largest(*counts: int | None) -> int:
    return max((count for count in counts if count is not None), default=0)


def _count(value: object) -> int | None:
    """Return a count given as a number or as text; nothing for what can't be a count."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value.replace(",", "") if isinstance(value, str) else value)
        return round(number) if 0 <= number < 2**31 else None
    except (ValueError, OverflowError):
        return None

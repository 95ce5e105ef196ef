"""Requests as bytes and answers as values, without the library's models in between."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypedDict

from apps.llm.numbers import parse_float, parse_int
from apps.llm.schema import CompiledSchema
from apps.llm.specs import ModelSpec, StructuredMode, TokenUsage
from apps.llm.text import sanitise, sanitise_json
from apps.llm.tokens import estimate_messages, estimate_tokens

_SUSPECT = re.compile(r"\\u0000|\\u[dD][89a-fA-F]|[\ud800-\udfff]")
_FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(.*)\n\s*```\s*\Z", re.DOTALL)


class Message(TypedDict):
    """One message of a prompt; ``role`` is system, user or assistant."""

    role: str
    content: str


class Rung(IntEnum):
    """The ladder of product 3.2: ways to ask for an answer of a given shape."""

    STRICT = 0
    TOOL = 1
    JSON = 2


FIRST_RUNG = {
    StructuredMode.AUTO: Rung.STRICT,
    StructuredMode.STRICT: Rung.STRICT,
    StructuredMode.TOOL: Rung.TOOL,
    StructuredMode.JSON: Rung.JSON,
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered with status 200."""

    text: str
    finish_reason: str
    refusal: str
    usage: TokenUsage | None
    id: str


class NotAnAnswerError(ValueError):
    """The body of a 200 is not a chat completion."""


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)


def _encode(value: object) -> bytes:
    return _ENCODER.encode(value).encode()


def request_body(  # noqa: PLR0917  # one call site; all are parts of one body
    model: ModelSpec,
    messages: Sequence[Message],
    schema: CompiledSchema,
    rung: Rung,
    cap: int,
    cap_name: str,
    cache_key: str,
) -> bytes:
    """The JSON of a request. The parts that are constant for a config are encoded only once."""
    listed = [{"role": m["role"], "content": sanitise(m["content"])} for m in messages]
    if rung is Rung.JSON:
        # After the leading system messages: constant for the config, so it can be cached too.
        place = next((i for i, m in enumerate(listed) if m["role"] != "system"), len(listed))
        listed.insert(place, {"role": "system", "content": schema.instruction})
        shape = b'"response_format":{"type":"json_object"}'
    else:
        shape = schema.strict_parameters if rung is Rung.STRICT else schema.tool_parameters
    head = {"model": model.name, **model.parameters, cap_name: cap}
    if cache_key:
        head["prompt_cache_key"] = cache_key
    return b'%s,%s,"messages":%s}' % (_encode(head)[:-1], shape, _encode(listed))


def parse_reply(body: bytes) -> Reply:
    """The first choice of a chat completion. Raises ``NotAnAnswerError``."""
    try:
        value = json.loads(body)
        choice = value["choices"][0]
        message = choice["message"]
        calls = message.get("tool_calls")
        text = calls[0]["function"]["arguments"] if calls else message.get("content")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise NotAnAnswerError("The server's answer is not a chat completion.") from None
    return Reply(
        text=text if isinstance(text, str) else "",
        finish_reason=str(choice.get("finish_reason") or ""),
        refusal=str(message.get("refusal") or ""),
        usage=_usage(value.get("usage")),
        id=str(value.get("id") or ""),
    )


def _usage(value: object) -> TokenUsage | None:
    """Token counts, or ``None`` where the server reports none that can be true."""
    if not isinstance(value, Mapping):
        return None
    sent = _count(value.get("prompt_tokens"))
    received = _count(value.get("completion_tokens"))
    if sent is None or received is None:
        return None
    details = value.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, Mapping) else 0
    return TokenUsage(sent, cached if cached is not None and cached <= sent else 0, received)


def _count(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        return None
    return value


def estimated_usage(model: ModelSpec, messages: Sequence[Message], reply_text: str) -> TokenUsage:
    """What a request probably took, where the server's own numbers cannot be used."""
    sent = estimate_messages(*(message["content"] for message in messages))
    factor = model.token_correction
    return TokenUsage(round(sent * factor), 0, round(estimate_tokens(reply_text) * factor))


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_int=parse_int, parse_float=parse_float
)


def parse_output(text: str) -> dict[str, object] | str:
    """The JSON object in an answer, or a sentence about why there is none.

    Only a code fence around the whole is taken off; nothing is repaired. What PostgreSQL cannot
    hold (U+0000, lone surrogates) is taken out of the values.
    """
    if fenced := _FENCE.match(text):
        text = fenced[1]
    try:
        value = _DECODER.decode(text)
        if isinstance(value, dict) and _SUSPECT.search(text):
            value = sanitise_json(value)
    except json.JSONDecodeError as error:
        return f"The answer is not JSON: {error}."
    except RecursionError:
        return "The answer is nested too deeply."
    except ValueError as error:
        return f"The answer is not JSON: {error}."
    if not isinstance(value, dict):
        return f"The answer must be a JSON object, not {type(value).__name__}."
    return value

"""Requests as bytes and responses as values, without the library's models in between."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TypedDict

from apps.llm.classification import fault_of
from apps.llm.error_bodies import read_body
from apps.llm.errors import ErrorCode
from apps.llm.event_streams import joined_events
from apps.llm.failed_request import Fault
from apps.llm.finish_reasons import Finish, finish_of
from apps.llm.key_masks import mask_keys
from apps.llm.plain_replies import plain_reply, tier_of
from apps.llm.reply_content import carried
from apps.llm.schema import CompiledSchema
from apps.llm.specs import ModelSpec, StructuredMode, TokenUsage
from apps.llm.text import sanitise, shorten
from apps.llm.tokens import estimate_messages, estimate_tokens
from apps.llm.usage_reports import UsageReport, read_usage


class Message(TypedDict):
    """One message of a prompt; ``role`` is system, user or assistant."""

    role: str
    content: str


class Rung(IntEnum):
    """The ladder: ways to ask for a response of a given shape."""

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
class ModelReply:
    """What a server returned with status 200."""

    text: str
    finish: Finish = Finish.DONE
    refusal: str = ""
    reasoning: str = ""
    usage: UsageReport = field(default_factory=UsageReport)
    id: str = ""
    tier: str = ""
    """The service tier that the server reports to have used."""


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
    tier: str = "",
) -> bytes:
    """The JSON of a request. The parts that are constant for a config are encoded only once."""
    listed = [{"role": m["role"], "content": sanitise(m["content"])} for m in messages]
    if rung is Rung.JSON:
        # After the leading system messages: constant for the config, so it can be cached too.
        place = next((i for i, m in enumerate(listed) if m["role"] != "system"), len(listed))
        listed.insert(place, {"role": "system", "content": schema.instruction})
        shape = b'"response_format":{"type":"json_object"}'
    else:
        shape = schema.tool_parameters
        if rung is Rung.STRICT:
            by_grammar = model.server.takes_grammar
            shape = schema.grammar_parameters if by_grammar else schema.strict_parameters
    head = {"model": model.name, **model.parameters, cap_name: cap}
    if cache_key:
        head["prompt_cache_key"] = cache_key
    if tier:
        head["service_tier"] = tier
    return b'%s,%s,"messages":%s}' % (_encode(head)[:-1], shape, _encode(listed))


def parse_reply(content: bytes, tool_name: str = "analysis") -> ModelReply | Fault:
    """Return the response in the body of a 200, or the fault that it carries instead."""
    value = _decoded(content)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, Mapping):
        return _not_an_answer(content)
    if (plain := plain_reply(value)) is not None:
        return ModelReply(plain.text, usage=plain.usage, id=plain.id, tier=plain.tier)
    return read_reply(content, value, tool_name)


def read_reply(content: bytes, value: Mapping[str, object], tool_name: str) -> ModelReply | Fault:
    """Return the response in the JSON of a body, whatever shape it has, or its fault."""
    found = carried(value, tool_name)
    answered = found is not None and bool(found.text.strip() or found.refusal)
    finish = finish_of(found.reason) if found else Finish.DONE
    report = read_usage(value, has_text=answered)
    if (error := _error_in(value)) is not None and (not answered or finish is Finish.BROKEN):
        return _paid(fault_of(200, error), report)
    if found is None:
        return _not_an_answer(content)
    if finish is Finish.BROKEN or (finish is Finish.VAGUE and not answered):
        message = f"The provider ended the response early: {mask_keys(str(found.reason))[:100]}."
        return _paid(Fault(ErrorCode.PROVIDER_ERROR, message, transient=True), report)
    return ModelReply(
        text=found.text,
        finish=finish,
        refusal=found.refusal,
        reasoning=found.reasoning,
        usage=report,
        id=str(value.get("id") or value.get("responseId") or ""),
        tier=tier_of(value),
    )


def _decoded(content: bytes) -> object:
    """Return the JSON of a body; an event stream is put together as if it had not been one."""
    text = content.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if text.startswith(("data:", "event:", ":", "id:", "retry:")):
        return joined_events(text)
    try:
        value: object = json.loads(text)
        # Some gateways encode the body twice.
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return None


_ERROR_KEYS = ("error", "errors", "detail", "base_resp", "promptFeedback", "prompt_feedback")


def _error_in(value: Mapping[str, object]) -> object | None:
    """Return the part of a reply that reports an error; ``None`` without one."""
    choices = value.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if isinstance(first, Mapping) and _tells(first.get("error")):
        return {"error": first["error"]}
    if any(_tells(value.get(key)) for key in _ERROR_KEYS) or _is_failure(value):
        return {key: item for key, item in value.items() if key not in _ANSWER_KEYS}
    return None


# Tuples: servers send values of any type, and a set takes no list.
_NO_ERROR = (0, "0", "success", "ok")
_FINE_CODES = (0, 200, "0", "200", "success")
_CODES = ("code", "status_code", "error_code", "errcode")
_MESSAGES = ("message", "msg", "error_msg", "errmsg")
_ANSWER_KEYS = frozenset(("choices", "candidates", "output", "content", "data", "response"))


def _tells(error: object) -> bool:
    """Return whether an error is one: some servers send an empty one with every success."""
    if isinstance(error, Mapping):
        state = error.get("status_code", error.get("code"))
        if state in _NO_ERROR:
            return False
        return any(bool(item) for item in error.values())
    return bool(error) and error is not True


def _is_failure(value: Mapping[str, object]) -> bool:
    """Return whether a reply without an error key says that it is none."""
    if value.get("success") is False or value.get("object") == "error":
        return True
    if value.get("input_sensitive") is True or value.get("output_sensitive") is True:
        return True
    if value.get("type") == "error" or value.get("status") in ("error", "failed"):
        return True
    code = next((value[key] for key in _CODES if key in value), None)
    said = any(isinstance(value.get(key), str) for key in _MESSAGES)
    return bool(code) and code not in _FINE_CODES and said


def _not_an_answer(content: bytes) -> Fault:
    """Return the fault of a 200 that isn't a chat completion, with its own message."""
    message = "The server didn't return a chat completion."
    text = content[:2_000].decode("utf-8", "replace").lstrip()
    said = read_body(text).message if text[:1] not in {"", "{", "["} else ""
    message = f"{message} It says: {shorten(said, 300)}" if said else message
    return Fault(ErrorCode.PROVIDER_ERROR, message, transient=True)


def _paid(fault: Fault, report: UsageReport) -> Fault:
    """Return the fault with what its request cost, where the server says so."""
    return replace(fault, usage=report.filled(TokenUsage())) if report.is_complete else fault


def estimated_usage(model: ModelSpec, messages: Sequence[Message], reply_text: str) -> TokenUsage:
    """Return what a request probably took, where the server's own numbers cannot be used."""
    sent = estimate_messages(*(message["content"] for message in messages))
    factor = model.token_correction
    return TokenUsage(round(sent * factor), 0, round(estimate_tokens(reply_text) * factor))

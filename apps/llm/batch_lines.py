"""Lines of the files of a Batch API: a request as one line, and the line with its response."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from apps.llm.answer_text import is_refusal
from apps.llm.classification import fault_of
from apps.llm.errors import ErrorCode
from apps.llm.failed_request import Fault
from apps.llm.pricing import BATCH
from apps.llm.questions import Question
from apps.llm.replies import FIRST_RUNG, ModelReply, parse_reply
from apps.llm.sender import ServerState
from apps.llm.specs import StructuredMode, TokenUsage
from apps.llm.structured import StructuredAnswer, StructuredRequest
from apps.llm.usage_reports import read_usage

ENDPOINT = "/v1/chat/completions"
_UNUSABLE = (ErrorCode.INVALID_OUTPUT, ErrorCode.LENGTH)
_REJECTED = (400, 404, 415, 422)
_EXPIRED, _CANCELED = "batch_expired", "batch_cancelled"


class Next(Enum):
    """The fate of a request whose line came back."""

    DONE = "done"  # its response is final, success or failure
    DIRECT = "direct"  # it needs another form or a second request, which `LlmClient` knows to ask
    AGAIN = "again"  # nothing is wrong with it: the same request fits into another batch


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """The outcome of one line. ``unsent``: the batch ended before its turn, and nothing is paid."""

    answer: StructuredAnswer
    next: Next
    unsent: bool = False


def request_line(custom_id: str, request: StructuredRequest) -> bytes:
    """Return the line of a request, with its line end."""
    body = Question(request, _fresh(request)).body()
    head = json.dumps({"custom_id": custom_id, "method": "POST", "url": ENDPOINT})
    return b'%s,"body":%s}\n' % (head[:-1].encode(), body)


def read_line(text: bytes | str) -> dict[str, Any] | None:
    """Return the JSON of a line with a ``custom_id``; None for anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not isinstance(value.get("custom_id"), str):
        return None
    return value


def judge_line(line: Mapping[str, Any], request: StructuredRequest) -> LineAnswer:
    """Return the outcome in a line of an output or error file, judged as a live response."""
    question = Question(request, _fresh(request))
    response, error = line.get("response"), line.get("error")
    if not isinstance(response, Mapping):
        return _unanswered(question, error)
    question.requests = 1
    question.tier = BATCH
    question.request_id = str(response.get("request_id") or "")
    status = response.get("status_code")
    body = json.dumps(response.get("body"), ensure_ascii=False).encode()
    if isinstance(status, int) and status != 200:
        outcome: ModelReply | Fault = fault_of(status, body)
    else:
        outcome = parse_reply(body, request.schema.name)
    if isinstance(outcome, Fault):
        question.usage += outcome.usage or TokenUsage()
        return _of_fault(question.failed(outcome), outcome)
    question.count(outcome)
    question.tier = BATCH
    answer = replace(question.judge(outcome), flex_usage=TokenUsage(), service_tier=BATCH)
    if answer.error in _UNUSABLE and not is_refusal(answer.raw_text):
        grows = request.model.max_output_tokens > question.cap
        if answer.error is ErrorCode.INVALID_OUTPUT or grows:
            return LineAnswer(answer, Next.DIRECT)
    return LineAnswer(answer, Next.DONE)


def _of_fault(answer: StructuredAnswer, fault: Fault) -> LineAnswer:
    if fault.transient or fault.pause is not None:
        return LineAnswer(answer, Next.AGAIN)
    if fault.refuses_mode or fault.asks_again or fault.status in _REJECTED:
        return LineAnswer(answer, Next.DIRECT)
    return LineAnswer(answer, Next.DONE)


def _unanswered(question: Question, error: object) -> LineAnswer:
    """Return the outcome of a request without a response: its batch ended first, or it failed."""
    code = error.get("code") if isinstance(error, Mapping) else None
    answer = question.failed(fault_of(500, {"error": error or {}}))
    unsent = code in {_EXPIRED, _CANCELED}
    return LineAnswer(replace(answer, usage=TokenUsage()), Next.AGAIN, unsent=unsent)


def _fresh(request: StructuredRequest) -> ServerState:
    """Return the assumptions about a server behind files: it teaches nothing."""
    return ServerState(FIRST_RUNG[StructuredMode(request.model.structured_output)])


def usage_in(line: Mapping[str, Any]) -> TokenUsage:
    """Return the tokens that a line reports, for one whose response no one needs any longer."""
    response = line.get("response")
    body = response.get("body") if isinstance(response, Mapping) else None
    if not isinstance(body, Mapping):
        return TokenUsage()
    return read_usage(body, has_text=True).filled(TokenUsage())

"""What providers say when they fail, and what it means, by provider."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apps.llm.classification import fault_of
from apps.llm.failed_request import Fault
from apps.llm.replies import parse_reply

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data/errors.json").read_text("utf-8")
)


def named(case: dict[str, Any]) -> str:
    return f"{case['provider']}: {case['id']}"


def content(case: dict[str, Any]) -> bytes:
    body = case["body"]
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def fault(case: dict[str, Any]) -> Fault:
    if case["status"] == 200:
        outcome = parse_reply(content(case))
        assert isinstance(outcome, Fault)
        return outcome
    return fault_of(case["status"], content(case), case.get("headers"))


@pytest.mark.parametrize("case", CASES, ids=named)
def test_an_error_means_what_the_provider_means(case: dict[str, Any]) -> None:
    want, got = case["want"], fault(case)
    assert {
        "code": got.code.value,
        "pause": got.pause.value if got.pause else "",
        "transient": got.transient,
        "mode": got.refuses_mode,
        "again": got.asks_again,
        "retry_after": got.retry_after,
    } == {
        "code": want["code"],
        "pause": want.get("pause", ""),
        "transient": want.get("transient", False),
        "mode": want.get("mode", False),
        "again": want.get("again", False),
        "retry_after": pytest.approx(want["retry_after"]) if want.get("retry_after") else None,
    }, got.message
    assert got.message.strip()
    assert want.get("says", "") in got.message
    assert want.get("failed", got.failed_text) == got.failed_text
    if hidden := want.get("hides"):
        assert hidden not in got.message


def test_every_provider_of_the_documentation_is_tried() -> None:
    assert {case["provider"] for case in CASES} >= {
        *("OpenAI", "Azure", "Anthropic", "Gemini", "OpenRouter", "Groq", "Mistral", "DeepSeek"),
        *("xAI", "Together", "LiteLLM", "vLLM", "llama.cpp", "Ollama", "LM Studio"),
    }  # fmt: skip
    assert len({named(case) for case in CASES}) == len(CASES)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>" + b"<script " * 25_000,
        b'{"error": {"message": "' + b"sk-" * 60_000 + b'"}}',
        b'{"error": {"message": "' + b"model " * 30_000 + b'"}}',
        b'{"detail": [' + b'{"msg": "request", "loc": ["body"]},' * 5_000 + b'{"msg": "x"}]}',
        b'{"error":' * 20_000,
        b"[" * 100_000,
        b'{"error": {"message": "' + b"try again in 1s " * 10_000 + b'"}}',
        b'{"error": {"message": "' + b"limit 1 " * 20_000 + b'"}}',
        bytes(range(256)) * 500,
    ],
)
def test_hostile_bodies_take_no_time_and_say_something(body: bytes) -> None:
    for status in (200, 400, 429, 500):
        fault = fault_of(status, body)
        assert fault.message
        assert len(fault.message) <= 1_100

"""Token counts and money from the usage of every provider."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from apps.llm.client import LlmClient
from apps.llm.failed_request import RetryPolicy
from apps.llm.pricing import cost
from apps.llm.specs import Prices
from apps.llm.tokens import estimate_messages, estimate_tokens
from tests.fakes.fixtures import FakeLLM
from tests.llm.test_client import TRANSCRIPT, Naps, request

Case = dict[str, Any]
CASES: list[Case] = json.loads((Path(__file__).parent / "data/usage.json").read_text("utf-8"))
SCHEMA = {"type": "object", "properties": {"topic": {"type": "string"}}}
SAID = '{"topic": "billing"}'
PRICES = Prices(Decimal(2), Decimal("0.5"), Decimal(8))


def named(case: Case) -> str:
    return f"{case['provider']}: {case['id']}"


@pytest.fixture
async def client() -> AsyncIterator[LlmClient]:
    made = Naps().client(RetryPolicy(attempts=1))
    yield made
    await made.aclose()


def body(case: Case) -> dict[str, Any]:
    choice: dict[str, Any] = {"message": {"content": SAID}, "finish_reason": "stop"}
    whole = dict(case["body"]) if "body" in case else {"usage": case["usage"]}
    if "choice_usage" in whole:
        choice["usage"] = whole.pop("choice_usage")
    if case["id"] == "thoughts and nothing said":
        choice = {"message": {"content": ""}, "finish_reason": "length"}
    return {"choices": [choice], **whole}


@pytest.mark.parametrize("case", CASES, ids=named)
async def test_usage_is_counted_as_its_provider_counts(
    client: LlmClient, fake_llm: FakeLLM, case: Case
) -> None:
    fake_llm.raw_always({"body": body(case)})
    model = {"max_output_tokens": 1_024, "structured_output": "json"}
    answer = await client.complete(request(fake_llm, schema=SCHEMA, model=model))
    want = case["want"]
    sent = estimate_messages("Analyse the conversation.", TRANSCRIPT)
    assert answer.usage.input == (sent if want["input"] == "estimate" else want["input"])
    assert answer.usage.cached == want["cached"]
    output = estimate_tokens(SAID) if want["output"] == "estimate" else want["output"]
    assert answer.usage.output == output
    assert answer.usage_estimated is want.get("estimated", False)
    assert bool(answer.usage_note) is want.get("noted", False)
    if want["cost"] is not None:
        assert cost(answer.usage, PRICES) == Decimal(want["cost"])

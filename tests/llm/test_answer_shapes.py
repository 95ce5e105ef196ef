"""Answers in every carrier and wrapper, and every way in which they end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from apps.llm.answer_text import parse_output, unwrapped
from apps.llm.client import LlmClient
from apps.llm.failed_request import RetryPolicy
from tests.fakes.fixtures import FakeLLM
from tests.llm.test_client import Naps, request

Case = dict[str, Any]
CASES: list[Case] = json.loads((Path(__file__).parent / "data/answers.json").read_text("utf-8"))
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "call_summary": {"type": "string"},
        "call_successful": {"type": "boolean"},
        "user_sentiment": {"enum": ["Negative", "Neutral", "Positive", "Unknown"]},
        "topic": {"type": "string"},
        "resolved": {"type": "boolean"},
    },
    "required": ["call_summary", "call_successful"],
}


def named(case: Case) -> str:
    return f"{case['provider']}: {case['id']}"


@pytest.fixture
async def client() -> AsyncIterator[LlmClient]:
    made = Naps().client(RetryPolicy(attempts=4, total=60))
    yield made
    await made.aclose()


@pytest.mark.parametrize("case", CASES, ids=named)
async def test_an_answer_is_read_in_every_shape(
    client: LlmClient, fake_llm: FakeLLM, case: Case
) -> None:
    fake_llm.raw_always({"body": case["body"]})
    model = {"structured_output": case.get("mode", "auto")}
    answer = await client.complete(request(fake_llm, schema=SCHEMA, model=model))
    want = case["want"]
    assert (answer.error or "") == want.get("error", ""), answer.error_message
    assert answer.output == want.get("output")
    if "output" in want:
        assert answer.requests == 1
        assert not answer.missing_required
    assert answer.requests == want.get("requests", answer.requests)


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({named(case) for case in CASES}) == len(CASES) > 150


@pytest.mark.parametrize("name", ["analysis", "arguments", "result", "name", "properties"])
async def test_a_field_with_the_name_of_a_wrapper_is_never_opened(
    client: LlmClient, fake_llm: FakeLLM, name: str
) -> None:
    inner = {"type": "object", "properties": {"call_summary": {"type": "string"}}}
    schema = {**SCHEMA, "properties": {**SCHEMA["properties"], name: inner}, "required": []}
    said = {name: {"call_summary": "inner"}}
    fake_llm.raw_always({"body": {"choices": [{"message": {"content": json.dumps(said)}}]}})
    answer = await client.complete(request(fake_llm, schema=schema))
    assert answer.output == said


@pytest.mark.parametrize(
    ("said", "fields", "answer"),
    [
        (
            {"name": "analysis", "arguments": {"name": "Bob", "age": 3}},
            ["name", "age"],
            {"name": "Bob", "age": 3},
        ),
        (
            {"type": "function", "function": {"name": "analysis", "arguments": {"type": "x"}}},
            ["type"],
            {"type": "x"},
        ),
        (
            {"name": "Bob", "arguments": {"name": "x"}},
            ["name", "arguments"],
            {"name": "Bob", "arguments": {"name": "x"}},
        ),
        ({"name": "Bob", "input": {"x": 1}}, ["name"], {"name": "Bob", "input": {"x": 1}}),
        ({"name": "Bob"}, ["name"], {"name": "Bob"}),
    ],
)
def test_a_call_is_opened_though_a_field_is_named_like_its_parts(
    said: dict[str, object], fields: list[str], answer: dict[str, object]
) -> None:
    assert unwrapped(said, fields) == answer


async def test_an_open_schema_takes_any_name(client: LlmClient, fake_llm: FakeLLM) -> None:
    schema = {**SCHEMA, "required": [], "additionalProperties": {"type": "object"}}
    said = {"other": {"call_summary": "s"}}
    fake_llm.raw_always({"body": {"choices": [{"message": {"content": json.dumps(said)}}]}})
    answer = await client.complete(request(fake_llm, schema=schema))
    assert answer.output == said


async def test_an_object_without_a_field_is_an_answer_that_found_nothing(
    client: LlmClient, fake_llm: FakeLLM
) -> None:
    fake_llm.raw_always({"body": {"choices": [{"message": {"content": "{}"}}]}})
    answer = await client.complete(request(fake_llm, schema=SCHEMA))
    assert (answer.error, answer.output) == (None, {})
    assert answer.missing_required == ["call_summary", "call_successful"]


async def test_a_wrapped_answer_that_names_nothing_asked_for_is_asked_for_again(
    client: LlmClient, fake_llm: FakeLLM
) -> None:
    good = json.dumps({"call_summary": "s", "call_successful": True})
    fake_llm.raw(
        {"body": {"choices": [{"message": {"content": '{"mood": "fine"}'}}]}},
        {"body": {"choices": [{"message": {"content": good}}]}},
    )
    answer = await client.complete(request(fake_llm, schema=SCHEMA))
    assert answer.output == json.loads(good)
    assert "only “mood”" in fake_llm.bodies[1]["messages"][-1]["content"]


async def test_what_a_broken_off_answer_cost_is_counted(
    client: LlmClient, fake_llm: FakeLLM
) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107}
    broken = {"choices": [{"message": {"content": '{"a'}, "finish_reason": "abort"}]}
    good = {"choices": [{"message": {"content": '{"topic": "x"}'}, "finish_reason": "stop"}]}
    fake_llm.raw({"body": {**broken, "usage": usage}}, {"body": {**good, "usage": usage}})
    answer = await client.complete(request(fake_llm, schema=SCHEMA))
    assert answer.output == {"topic": "x"}
    assert (answer.usage.input, answer.usage.output) == (200, 14)
    assert not answer.usage_estimated


async def test_another_try_of_a_refusal_may_answer(client: LlmClient, fake_llm: FakeLLM) -> None:
    sorry = {"choices": [{"message": {"content": "I'm sorry, but I can't help with that."}}]}
    good = {"choices": [{"message": {"content": '{"topic": "x"}'}}]}
    fake_llm.raw({"body": sorry}, {"body": good})
    answer = await client.complete(request(fake_llm, schema=SCHEMA))
    assert (answer.error, answer.output) == (None, {"topic": "x"})


@pytest.mark.parametrize(
    "text",
    [
        *("{" * 200_000, "[" * 200_000, '{"a":' * 50_000, "{ " * 100_000, "{x} " * 100_000),
        *("<think>" * 50_000, "</think>" * 50_000 + "{", "```" * 100_000, "<|x|>" * 50_000),
        *('{"a": 1} ' * 50_000, "<think></think>" * 20_000 + "{", "{" + " " * 200_000),
        *(" " * 200_000 + "x", "x" + " " * 200_000 + "x", "[" * 100_000 + "{}"),
    ],
)
def test_hostile_text_takes_no_time(text: str) -> None:
    assert isinstance(parse_output(text), str)


def test_unwrapping_stops() -> None:
    value: dict[str, object] = {"topic": "x"}
    for _ in range(50):
        value = {"inner": value}
    assert unwrapped(value, {"topic"}) is None

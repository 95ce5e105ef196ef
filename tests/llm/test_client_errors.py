"""What the client does after a provider's error: stop, ask in another way, or ask again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from apps.llm.client import LlmClient
from apps.llm.errors import ErrorCode, PauseReason
from apps.llm.failed_request import RetryPolicy
from tests.fakes.fixtures import FakeLLM
from tests.llm.test_client import Naps, request, valid
from tests.llm.test_error_bodies import CASES, named

Case = dict[str, Any]


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
async def client(naps: Naps) -> AsyncIterator[LlmClient]:
    made = naps.client(RetryPolicy(attempts=4, total=600))
    yield made
    await made.aclose()


def wanting(**wanted: object) -> list[Case]:
    return [case for case in CASES if wanted.items() <= case["want"].items()]


def sent(case: Case) -> Case:
    return {key: case[key] for key in ("status", "body", "headers") if key in case}


@pytest.mark.parametrize("case", [*wanting(pause="quota"), *wanting(pause="auth")], ids=named)
async def test_an_account_that_may_not_ask_pauses_after_one_request(
    client: LlmClient, fake_llm: FakeLLM, case: Case
) -> None:
    fake_llm.raw_always(sent(case))
    answer = await client.complete(request(fake_llm))
    assert (answer.error, answer.pause) == (case["want"]["code"], case["want"]["pause"])
    assert fake_llm.total == answer.requests == 1


@pytest.mark.parametrize("case", wanting(mode=True), ids=named)
async def test_a_mode_that_the_server_does_not_know_costs_one_request_more(
    client: LlmClient, fake_llm: FakeLLM, case: Case
) -> None:
    fake_llm.raw(sent(case))
    first = await client.complete(request(fake_llm))
    assert valid(first)
    assert (first.requests, first.pause) == (2, None)
    assert "tools" in fake_llm.bodies[-1]
    assert (await client.complete(request(fake_llm))).requests == 1
    assert "tools" in fake_llm.bodies[-1]


@pytest.mark.parametrize("case", wanting(again=True), ids=named)
async def test_one_bad_generation_is_asked_for_again_and_lowers_no_mode(
    client: LlmClient, fake_llm: FakeLLM, case: Case
) -> None:
    fake_llm.raw(sent(case))
    first = await client.complete(request(fake_llm))
    assert valid(first)
    assert first.requests == 2
    assert valid(await client.complete(request(fake_llm)))
    for body in fake_llm.bodies:
        assert body["response_format"]["json_schema"]["strict"] is True
    said = fake_llm.bodies[1]["messages"]
    assert said[-1]["role"] == "user"
    assert "cannot be used" in said[-1]["content"]
    quoted = [message["content"] for message in said if message["role"] == "assistant"]
    assert quoted == ([case["want"]["failed"]] if case["want"].get("failed") else [])


async def test_a_generation_that_fails_twice_is_invalid_output(
    client: LlmClient, fake_llm: FakeLLM
) -> None:
    case = wanting(again=True)[0]
    fake_llm.raw_always(sent(case))
    answer = await client.complete(request(fake_llm))
    assert (answer.error, answer.requests) == (ErrorCode.INVALID_OUTPUT, 2)
    assert answer.raw_text == case["want"]["failed"]
    assert client.sender.state(request(fake_llm).model).rung == 0


@pytest.mark.parametrize("code", ["content_filter", "transcript_too_long"])
async def test_what_is_wrong_with_one_conversation_ends_it_alone(
    client: LlmClient, fake_llm: FakeLLM, code: str
) -> None:
    for case in wanting(code=code):
        fake_llm.reset()
        fake_llm.raw(sent(case))
        answer = await client.complete(request(fake_llm))
        assert (answer.error, answer.pause, answer.requests) == (code, None, 1), named(case)
        assert valid(await client.complete(request(fake_llm)))


async def test_a_delay_in_the_body_is_waited(
    client: LlmClient, fake_llm: FakeLLM, naps: Naps
) -> None:
    [case] = [case for case in CASES if named(case) == "Gemini: RetryInfo"]
    fake_llm.raw(sent(case))
    assert valid(await client.complete(request(fake_llm)))
    assert naps.passed >= 29


async def test_both_parameters_that_a_server_does_not_know_are_left_out_together(
    client: LlmClient, fake_llm: FakeLLM
) -> None:
    detail = [
        {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"}
        for name in ("max_completion_tokens", "prompt_cache_key")
    ]
    fake_llm.raw({"status": 422, "body": {"object": "error", "message": {"detail": detail}}})
    answer = await client.complete(request(fake_llm, cache_key="k"))
    assert valid(answer)
    assert answer.requests == 2
    assert "max_tokens" in fake_llm.bodies[-1]
    assert "prompt_cache_key" not in fake_llm.bodies[-1]
    assert fake_llm.bodies[-1]["response_format"]["type"] == "json_schema"


async def test_one_prose_answer_in_many_lowers_no_mode(
    client: LlmClient, fake_llm: FakeLLM
) -> None:
    for _ in range(4):
        fake_llm.script("not_json")
        assert valid(await client.complete(request(fake_llm)))
        assert valid(await client.complete(request(fake_llm)))
    assert fake_llm.bodies[-1]["response_format"]["type"] == "json_schema"


async def test_a_key_that_a_provider_repeats_is_hidden(
    client: LlmClient, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOUSE_API_KEY", "plainword")
    said = "Wrong key plainword, or sk-live-0123456789abcdef, Authorization: Bearer abc.def-123456."
    for status in (400, 401, 403, 429, 500, 200):
        fake_llm.reset()
        fake_llm.raw_always({"status": status, "body": {"error": {"message": said}}})
        answer = await client.complete(request(fake_llm, model={"api_key_env": "HOUSE_API_KEY"}))
        assert "Wrong key (key)" in answer.error_message
        for secret in ("plainword", "0123456789abcdef", "abc.def-123456"):
            assert secret not in answer.error_message
    assert answer.pause is None or isinstance(answer.pause, PauseReason)

"""The client against a real server of the OpenAI protocol, well-behaved and otherwise."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from apps.llm.client import LlmClient
from apps.llm.errors import ErrorCode, PauseReason
from apps.llm.failed_request import RetryPolicy
from apps.llm.limits import Limits
from apps.llm.replies import Message
from apps.llm.schema import Checker, compile_strict
from apps.llm.sender import DOWN_AFTER
from apps.llm.specs import ModelSpec
from apps.llm.structured import StructuredAnswer, StructuredRequest
from apps.llm.throttle import Memory, Throttle
from apps.llm.tokens import estimate_messages
from tests.fakes.fixtures import FakeLLM
from tests.llm.schemas import SUPPORT

TRANSCRIPT = "Agent: Hello, how can I help?\nUser: My bill is twice what it was last month."


class Naps:
    """Sleeps that are noted instead of slept; the clock of whoever sleeps goes on by them."""

    def __init__(self) -> None:
        self.taken: list[float] = []
        self._begin = self.now()

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)

    @property
    def passed(self) -> float:
        """How long it took: what a slow machine takes for itself need not be slept."""
        return self.now() - self._begin

    def now(self) -> float:
        """Seconds, those slept included."""
        return time.monotonic() + sum(self.taken)

    def client(self, retry: RetryPolicy) -> LlmClient:
        """A client that lives by this clock."""
        throttle = Throttle(Memory(self.now), sleep=self, now=self.now)
        return LlmClient(retry=retry, limits=Limits(throttle=throttle), sleep=self, now=self.now)


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
async def client(naps: Naps) -> AsyncIterator[LlmClient]:
    made = naps.client(RetryPolicy(attempts=4, total=60))
    yield made
    await made.aclose()


def request(
    fake: FakeLLM, text: str = TRANSCRIPT, schema: dict[str, Any] | None = None, **changes: Any
) -> StructuredRequest:
    original = schema or SUPPORT
    spec = ModelSpec("fake-model", base_url=fake.url, **changes.pop("model", {}))
    return StructuredRequest(
        model=spec,
        messages=(
            Message(role="system", content="Analyse the conversation."),
            Message(role="user", content=text),
        ),
        schema=compile_strict(original),
        original_schema=original,
        **changes,
    )


def valid(answer: StructuredAnswer) -> bool:
    return answer.error is None and answer.output is not None and (
        Checker(SUPPORT).examine(answer.output).problems == []
    )  # fmt: skip


async def test_an_answer_of_the_asked_shape(client: LlmClient, fake_llm: FakeLLM) -> None:
    answer = await client.complete(request(fake_llm, cache_key="abc", max_output_tokens=300))
    assert valid(answer)
    [body] = fake_llm.bodies
    assert body["response_format"]["json_schema"]["strict"] is True
    assert (body["max_completion_tokens"], body["prompt_cache_key"]) == (300, "abc")
    assert body["messages"][1] == {"role": "user", "content": TRANSCRIPT}
    assert answer.requests == 1
    assert answer.usage.input == pytest.approx(
        estimate_messages("Analyse the conversation.", TRANSCRIPT), abs=10
    )
    assert answer.provider_request_id.startswith("req_")
    assert "topic" in json.loads(answer.raw_text)
    assert not answer.usage_estimated


async def test_parameters_of_the_model_are_sent(client: LlmClient, fake_llm: FakeLLM) -> None:
    model = {"parameters": {"temperature": 0, "seed": 7}}
    await client.complete(request(fake_llm, model=model))
    [body] = fake_llm.bodies
    assert (body["temperature"], body["seed"]) == (0, 7)


async def test_the_key_named_by_the_model_is_sent(
    client: LlmClient, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOUSE_API_KEY", "secret-1")
    fake_llm.set(key="secret-1")
    assert valid(await client.complete(request(fake_llm, model={"api_key_env": "HOUSE_API_KEY"})))
    refused = await client.complete(request(fake_llm))
    assert (refused.error, refused.pause) == (ErrorCode.AUTH, PauseReason.AUTH)


async def test_a_missing_key_pauses_without_a_request(client: LlmClient, fake_llm: FakeLLM) -> None:
    answer = await client.complete(request(fake_llm, model={"api_key_env": "NO_SUCH_API_KEY"}))
    assert (answer.error, answer.pause) == (ErrorCode.AUTH, PauseReason.AUTH)
    assert "Set NO_SUCH_API_KEY." in answer.error_message
    assert fake_llm.total == 0


@pytest.mark.parametrize(
    ("kind", "code", "requests"),
    [
        ("refusal", ErrorCode.REFUSAL, 1),
        ("content_filter", ErrorCode.CONTENT_FILTER, 1),
        ("filter_400", ErrorCode.CONTENT_FILTER, 1),
        ("empty", ErrorCode.EMPTY_OUTPUT, 1),
        ("length", ErrorCode.LENGTH, 2),
        ("not_json", ErrorCode.INVALID_OUTPUT, 2),
        ("deep", ErrorCode.INVALID_OUTPUT, 2),
        ("nan", ErrorCode.INVALID_OUTPUT, 2),
        ("against_schema", ErrorCode.INVALID_OUTPUT, 2),
        ("wrong_type", ErrorCode.INVALID_OUTPUT, 2),
        ("huge", ErrorCode.INVALID_OUTPUT, 1),
        ("context_length", ErrorCode.TRANSCRIPT_TOO_LONG, 1),
        ("400", ErrorCode.PROVIDER_ERROR, 1),
        ("500", ErrorCode.PROVIDER_ERROR, 4),
        ("503", ErrorCode.PROVIDER_ERROR, 4),
        ("html", ErrorCode.PROVIDER_ERROR, 4),
        ("reset", ErrorCode.CONNECTION, 4),
    ],
)
async def test_each_fault_has_its_own_code(
    client: LlmClient, fake_llm: FakeLLM, kind: str, code: ErrorCode, requests: int
) -> None:
    fake_llm.always(kind)
    answer = await client.complete(request(fake_llm))
    assert (answer.error, answer.output, answer.pause) == (code, None, None)
    assert answer.requests == requests
    assert fake_llm.total == requests
    assert answer.error_message
    assert len(answer.raw_text) <= 64 * 1024


@pytest.mark.parametrize(
    ("kind", "code", "pause"),
    [
        ("401", ErrorCode.AUTH, PauseReason.AUTH),
        ("403", ErrorCode.AUTH, PauseReason.AUTH),
        ("quota", ErrorCode.QUOTA, PauseReason.QUOTA),
        ("spend_limit", ErrorCode.QUOTA, PauseReason.QUOTA),
        ("404", ErrorCode.PROVIDER_ERROR, PauseReason.PROVIDER_DOWN),
    ],
)
async def test_what_no_other_request_would_survive_pauses(
    client: LlmClient, fake_llm: FakeLLM, kind: str, code: ErrorCode, pause: PauseReason
) -> None:
    fake_llm.always(kind)
    answer = await client.complete(request(fake_llm))
    assert (answer.error, answer.pause, answer.requests) == (code, pause, 1)


@pytest.mark.parametrize("kind", ["hang", "late:5", "drip:0.3"])
async def test_slow_answers_end_in_time(fake_llm: FakeLLM, naps: Naps, kind: str) -> None:
    client = naps.client(RetryPolicy(attempts=2))
    fake_llm.always(kind)
    answer = await client.complete(request(fake_llm, timeout=0.4))
    assert (answer.error, answer.requests) == (ErrorCode.TIMEOUT, 2)
    assert answer.latency_ms >= 750
    await client.aclose()


@pytest.mark.parametrize("kind", ["500", "503", "reset", "html"])
async def test_transient_faults_are_outlasted(
    client: LlmClient, fake_llm: FakeLLM, naps: Naps, kind: str
) -> None:
    fake_llm.script(kind, kind)
    answer = await client.complete(request(fake_llm))
    assert valid(answer)
    assert answer.requests == 3
    assert 0.25 <= naps.taken[0] <= 0.5 <= naps.taken[1] <= 1


async def test_a_rate_limit_is_waited_for_however_often_it_is_met(
    client: LlmClient, fake_llm: FakeLLM, naps: Naps
) -> None:
    fake_llm.script(*["429"] * 10)
    answer = await client.complete(request(fake_llm))
    assert valid(answer)
    assert answer.requests == 11
    assert naps.passed >= 10
    assert sum(naps.taken) < 60


async def test_retry_after_is_obeyed_by_everybody(
    client: LlmClient, fake_llm: FakeLLM, naps: Naps
) -> None:
    fake_llm.script("429_retry_after:7")
    assert valid(await client.complete(request(fake_llm)))
    assert naps.passed >= 7
    assert sum(naps.taken) <= 9
    assert valid(await client.complete(request(fake_llm, text="Another call.")))


async def test_a_provider_that_refuses_everybody_pauses_the_run(
    client: LlmClient, fake_llm: FakeLLM, naps: Naps
) -> None:
    fake_llm.always("429")
    asked = [client.complete(request(fake_llm, text=f"Call {n}")) for n in range(10)]
    for answer in await asyncio.gather(*asked):
        assert (answer.error, answer.pause) == (ErrorCode.RATE_LIMITED, PauseReason.RATE_LIMITED)
    assert naps.passed >= 60
    assert sum(naps.taken) < 120
    assert fake_llm.total < 30
    fake_llm.always("ok")
    assert valid(await client.complete(request(fake_llm)))


async def test_a_wait_that_is_too_long_is_handed_back(
    client: LlmClient, fake_llm: FakeLLM, naps: Naps
) -> None:
    fake_llm.always("429_retry_after:3600")
    answer = await client.complete(request(fake_llm))
    assert (answer.error, answer.retry_after) == (ErrorCode.RATE_LIMITED, 3600)
    assert answer.pause == PauseReason.RATE_LIMITED
    assert (answer.requests, naps.taken) == (1, [])


async def test_an_unreachable_server_is_a_connection_fault(
    client: LlmClient, fake_llm: FakeLLM
) -> None:
    answer = await client.complete(
        request(fake_llm, model={"is_local": False, "structured_output": "auto"})
    )
    assert valid(answer)
    gone = StructuredRequest(
        model=ModelSpec("m", base_url="http://127.0.0.1:9/v1"),
        messages=(Message(role="user", content="x"),),
        schema=compile_strict(SUPPORT),
        original_schema=SUPPORT,
    )
    answers = [await client.complete(gone) for _ in range(DOWN_AFTER)]
    assert {answer.error for answer in answers} == {ErrorCode.CONNECTION}
    assert [answer.pause for answer in answers] == [
        *[None] * (DOWN_AFTER - 1), PauseReason.PROVIDER_DOWN,
    ]  # fmt: skip


async def test_the_bundled_model_that_does_not_run_says_so(
    client: LlmClient, fake_llm: FakeLLM
) -> None:
    answer = await client.complete(request(fake_llm, model={"is_local": True}))
    assert (answer.error, answer.pause) == (ErrorCode.CONNECTION, PauseReason.PROVIDER_DOWN)
    assert "bundled model is not running" in answer.error_message


# The ladder


async def test_a_server_without_bounds_is_asked_by_tool_and_remembered(
    client: LlmClient, fake_llm: FakeLLM
) -> None:
    fake_llm.set(refuse=["bounds"])
    first = await client.complete(request(fake_llm))
    assert valid(first)
    assert first.requests == 2
    assert "tools" in fake_llm.bodies[-1]
    second = await client.complete(request(fake_llm))
    assert valid(second)
    assert second.requests == 1


async def test_a_server_without_tools_is_asked_in_json_mode(
    client: LlmClient, fake_llm: FakeLLM
) -> None:
    fake_llm.set(refuse=["json_schema", "tools"])
    answer = await client.complete(request(fake_llm))
    assert valid(answer)
    assert answer.requests == 3
    body = fake_llm.bodies[-1]
    assert body["response_format"] == {"type": "json_object"}
    assert [message["role"] for message in body["messages"]] == ["system", "system", "user"]
    assert '"additionalProperties":false' in body["messages"][1]["content"]


async def test_a_server_that_refuses_everything(client: LlmClient, fake_llm: FakeLLM) -> None:
    fake_llm.set(refuse=["json_schema", "tools", "json_object"])
    answer = await client.complete(request(fake_llm))
    assert (answer.error, answer.requests) == (ErrorCode.SCHEMA_REJECTED, 3)


@pytest.mark.parametrize(
    ("mode", "key"),
    [("auto", "response_format"), ("strict", "response_format"), ("tool", "tools")],
)
async def test_the_mode_of_the_model_decides_where_it_begins(
    client: LlmClient, fake_llm: FakeLLM, mode: str, key: str
) -> None:
    assert valid(await client.complete(request(fake_llm, model={"structured_output": mode})))
    assert key in fake_llm.bodies[0]


async def test_json_mode_takes_a_fenced_answer(client: LlmClient, fake_llm: FakeLLM) -> None:
    fake_llm.always("fenced")
    assert valid(await client.complete(request(fake_llm, model={"structured_output": "json"})))


async def test_a_schema_with_a_map_begins_with_a_tool_call(
    client: LlmClient, fake_llm: FakeLLM
) -> None:
    schema = {"type": "object", "properties": {"counts": {"type": "object"}, "note": {}}}
    answer = await client.complete(request(fake_llm, schema=schema))
    assert answer.error is None
    assert "tools" in fake_llm.bodies[0]
    assert valid(await client.complete(request(fake_llm)))
    assert "tools" not in fake_llm.bodies[1]


async def test_an_invalid_answer_is_asked_for_once_more_with_the_reason(
    client: LlmClient, fake_llm: FakeLLM
) -> None:
    fake_llm.script("wrong_type")
    answer = await client.complete(request(fake_llm))
    assert valid(answer)
    assert answer.requests == 2
    said = fake_llm.bodies[1]["messages"]
    assert said[-2]["role"] == "assistant"
    assert "is not of type" in said[-1]["content"]
    assert answer.usage.input > 2 * estimate_messages(TRANSCRIPT)


async def test_prose_is_followed_by_a_request_in_words(
    client: LlmClient, fake_llm: FakeLLM
) -> None:
    for _ in range(3):
        fake_llm.script("not_json")
        assert valid(await client.complete(request(fake_llm)))
    assert fake_llm.bodies[1]["response_format"] == {"type": "json_object"}
    last = await client.complete(request(fake_llm))
    assert valid(last)
    assert last.requests == 1
    assert fake_llm.bodies[-1]["response_format"] == {"type": "json_object"}


async def test_invalid_output_keeps_what_was_said(client: LlmClient, fake_llm: FakeLLM) -> None:
    fake_llm.always("not_json")
    answer = await client.complete(request(fake_llm))
    assert answer.raw_text == "Sure! Here is the analysis you asked for."
    assert "isn't valid JSON" in answer.error_message


async def test_a_cut_answer_gets_a_larger_cap_once(client: LlmClient, fake_llm: FakeLLM) -> None:
    fake_llm.script("length")
    answer = await client.complete(request(fake_llm, max_output_tokens=200))
    assert valid(answer)
    assert [body["max_completion_tokens"] for body in fake_llm.bodies] == [200, 4_096]


async def test_a_cut_answer_is_never_repaired(client: LlmClient, fake_llm: FakeLLM) -> None:
    fake_llm.always("length")
    answer = await client.complete(request(fake_llm))
    assert (answer.error, answer.output) == (ErrorCode.LENGTH, None)
    assert answer.raw_text.startswith("{")
    assert "4,096" in answer.error_message


async def test_refusal_keeps_its_words(client: LlmClient, fake_llm: FakeLLM) -> None:
    fake_llm.always("refusal")
    answer = await client.complete(request(fake_llm))
    assert answer.error_message == answer.raw_text == "I cannot help with that."


async def test_unasked_keys_are_left_out(client: LlmClient, fake_llm: FakeLLM) -> None:
    fake_llm.always("extra_keys")
    answer = await client.complete(request(fake_llm))
    assert answer.output is not None
    assert set(answer.output) <= set(SUPPORT["properties"])


async def test_required_built_ins_are_not_nullable(client: LlmClient, fake_llm: FakeLLM) -> None:
    schema = compile_strict(SUPPORT, required_names=["summary"])
    await client.complete(
        StructuredRequest(
            model=ModelSpec("m", base_url=fake_llm.url),
            messages=(Message(role="user", content="x"),),
            schema=schema,
            original_schema=SUPPORT,
        )
    )
    sent = fake_llm.bodies[0]["response_format"]["json_schema"]["schema"]["properties"]
    assert (sent["summary"]["type"], sent["topic"]["type"]) == ("string", ["string", "null"])


# Servers with habits of their own


async def test_older_servers_get_the_older_name_of_the_cap(
    client: LlmClient, fake_llm: FakeLLM
) -> None:
    fake_llm.set(refuse=["cap", "cache_key"])
    first = await client.complete(request(fake_llm, cache_key="k"))
    assert valid(first)
    body = fake_llm.bodies[-1]
    assert "max_tokens" in body
    assert "prompt_cache_key" not in body
    second = await client.complete(request(fake_llm, cache_key="k"))
    assert (first.requests, second.requests) == (3, 1)


@pytest.mark.parametrize("kind", ["wrong_usage", "no_usage"])
async def test_unbelievable_usage_is_estimated(
    client: LlmClient, fake_llm: FakeLLM, kind: str
) -> None:
    fake_llm.always(kind)
    answer = await client.complete(request(fake_llm))
    assert valid(answer)
    assert answer.usage_estimated
    assert answer.usage.input == estimate_messages("Analyse the conversation.", TRANSCRIPT)
    assert answer.usage.output > 0


async def test_cached_tokens_are_counted(client: LlmClient, fake_llm: FakeLLM) -> None:
    asked = request(fake_llm)
    long = (Message(role="system", content="Rules. " * 2_000), asked.messages[1])
    asked = StructuredRequest(asked.model, long, asked.schema, asked.original_schema)
    first, second = await client.complete(asked), await client.complete(asked)
    assert first.usage.cached == 0
    assert 1_024 <= second.usage.cached <= second.usage.input


async def test_nul_and_lone_surrogates_go_no_further(client: LlmClient, fake_llm: FakeLLM) -> None:
    fake_llm.always("nul")
    answer = await client.complete(
        request(fake_llm, text="half \ud83d of a pair, \x00 and nothing")
    )
    assert valid(answer)
    assert fake_llm.bodies[0]["messages"][1]["content"] == "half \ufffd of a pair,  and nothing"
    stored = json.dumps(answer.output, ensure_ascii=False) + answer.raw_text
    stored.encode()
    assert "\\u0000" not in json.dumps(answer.output)
    assert "\x00" not in stored


async def test_text_in_any_script_arrives_as_it_was(client: LlmClient, fake_llm: FakeLLM) -> None:
    text = "مرحبا 你好 👩‍👩‍👧 <b>{{ x }}</b> \u202e\r\n \"'\\"
    assert valid(await client.complete(request(fake_llm, text=text)))
    assert fake_llm.bodies[0]["messages"][1]["content"] == text


# Many at once


async def test_sixty_four_at_once_through_one_client(client: LlmClient, fake_llm: FakeLLM) -> None:
    fake_llm.set(latency=0.2)
    answers = await asyncio.gather(
        *(client.complete(request(fake_llm, text=f"Call [[id:c{i}]] {i}")) for i in range(192))
    )
    assert all(map(valid, answers))
    stats = fake_llm.stats()
    assert stats["peak"] >= 64
    assert set(stats["conversations"].values()) == {1}


async def test_a_model_with_a_limit_never_has_more_in_flight(
    client: LlmClient, fake_llm: FakeLLM
) -> None:
    fake_llm.set(latency=0.2)
    asked = request(fake_llm, model={"max_concurrency": 5})
    assert all(map(valid, await asyncio.gather(*(client.complete(asked) for _ in range(30)))))
    assert fake_llm.stats()["peak"] == 5


async def test_a_cancelled_request_gives_its_place_back(
    client: LlmClient, fake_llm: FakeLLM
) -> None:
    fake_llm.always("hang")
    sent = asyncio.Event()
    asked = request(fake_llm, model={"max_concurrency": 1}, on_send=sent.set)
    task = asyncio.create_task(client.complete(asked))
    async with asyncio.timeout(60):
        await sent.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    fake_llm.always("ok")
    assert valid(await asyncio.wait_for(client.complete(asked), 60))


async def test_random_faults_all_end_in_an_answer(fake_llm: FakeLLM, naps: Naps) -> None:
    client = naps.client(RetryPolicy(attempts=8))
    shares = {"429": 0.1, "500": 0.1, "reset": 0.1, "not_json": 0.05, "wrong_type": 0.05}
    fake_llm.set(probability=shares, seed=3)
    answers = await asyncio.gather(
        *(client.complete(request(fake_llm, text=f"Call {i}")) for i in range(150))
    )
    for answer in answers:
        assert (answer.output is None) == (answer.error is not None)
    assert sum(map(valid, answers)) >= 130
    assert sum(answer.requests for answer in answers) == fake_llm.total
    await client.aclose()


async def test_later_requests_are_written_as_the_library_wrote_the_first(
    client: LlmClient, fake_llm: FakeLLM
) -> None:
    """Their length and the library's note of the time-out apart, which are of one request."""
    for text in (TRANSCRIPT, TRANSCRIPT * 2, TRANSCRIPT * 3):
        assert valid(await client.complete(request(fake_llm, text)))
    first, *later = fake_llm.stats()["headers"]
    assert first["Authorization"] == "Bearer none"
    assert first.pop("x-stainless-read-timeout")
    lengths = [int(sent.pop("Content-Length")) for sent in (first, *later)]
    assert lengths == sorted(set(lengths))
    assert later == [first, first]


@pytest.mark.parametrize("kind", ["429", "500", "reset", "huge", "html"])
async def test_a_failure_is_the_same_for_first_and_later_requests(
    naps: Naps, fake_llm: FakeLLM, kind: str
) -> None:
    client = naps.client(RetryPolicy(attempts=1, total=60, limit_patience=0))
    try:
        fake_llm.script(kind)
        first = await client.complete(request(fake_llm))
        assert valid(await client.complete(request(fake_llm)))
        fake_llm.script(kind)
        later = await client.complete(request(fake_llm))
    finally:
        await client.aclose()
    assert first.error is not None
    assert (later.error, later.error_message) == (first.error, first.error_message)
    assert (later.transient, later.pause) == (first.transient, first.pause)

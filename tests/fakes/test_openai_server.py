"""The fake itself: it must be as strict, as honest and as steady as what it stands for."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from apps.llm.tokens import estimate_tokens
from tests.fakes import strict_rules
from tests.fakes.fixtures import FakeLLM

GOOD = {
    "type": "object",
    "properties": {
        "summary": {"type": ["string", "null"]},
        "score": {"type": "integer", "minimum": 1, "maximum": 5},
    },
    "required": ["summary", "score"],
    "additionalProperties": False,
}


def post(fake: FakeLLM, text: str = "Hello", schema: Any = None, **body: Any) -> dict[str, Any]:
    shape = {"name": "a", "strict": True, "schema": schema or GOOD}
    full = {
        "model": "m",
        "messages": [{"role": "user", "content": text}],
        "response_format": {"type": "json_schema", "json_schema": shape},
        **body,
    }
    call = urllib.request.Request(f"{fake.url}/chat/completions", json.dumps(full).encode())
    with urllib.request.urlopen(call, timeout=10) as answer:
        result: dict[str, Any] = json.load(answer)
    return result


def content(answer: dict[str, Any]) -> Any:
    return json.loads(answer["choices"][0]["message"]["content"])


def status(fake: FakeLLM, text: str = "Hello", **options: Any) -> int:
    try:
        post(fake, text, **options)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    return 200


def test_the_same_prompt_has_the_same_answer_and_others_vary(fake_llm: FakeLLM) -> None:
    texts = [f"Call {n}" for n in range(20)]
    first = [content(post(fake_llm, text)) for text in texts]
    assert first == [content(post(fake_llm, text)) for text in texts]
    assert len({json.dumps(answer) for answer in first}) > 10
    assert all(1 <= answer["score"] <= 5 for answer in first)


def test_usage_is_honest_and_a_known_beginning_is_cached(fake_llm: FakeLLM) -> None:
    system = {"role": "system", "content": "Rules are rules. " * 500}
    messages = [system, {"role": "user", "content": "Hi"}]
    first, second = (post(fake_llm, messages=messages)["usage"] for _ in range(2))
    assert first["prompt_tokens"] == pytest.approx(estimate_tokens(system["content"]), abs=20)
    assert first["prompt_tokens_details"]["cached_tokens"] == 0
    assert second["prompt_tokens_details"]["cached_tokens"] >= 1_024


def test_a_marker_decides_and_once_means_once(fake_llm: FakeLLM) -> None:
    assert status(fake_llm, "User: hm [[fake:500]]") == 500
    text = "User: hm [[fake:429 once]] [[id:c1]]"
    assert [status(fake_llm, text) for _ in range(3)] == [429, 200, 200]
    assert fake_llm.stats()["conversations"]["c1"] == 3


def test_script_models_and_quota(fake_llm: FakeLLM) -> None:
    fake_llm.script("503", "ok")
    fake_llm.set(models={"bad": "401"}, quota_after=4)
    assert [status(fake_llm) for _ in range(2)] == [503, 200]
    assert status(fake_llm, model="bad") == 401
    assert [status(fake_llm) for _ in range(2)] == [200, 429]
    assert fake_llm.stats()["outcomes"]["quota"] == 1


def test_chance_is_seeded(fake_llm: FakeLLM) -> None:
    def draw() -> list[int]:
        fake_llm.set(reset=True, probability={"500": 0.5}, seed=7)
        return [status(fake_llm) for _ in range(20)]

    first = draw()
    assert draw() == first
    assert set(first) == {200, 500}


def test_unknown_behaviours_and_controls_are_refused(fake_llm: FakeLLM) -> None:
    for change in ({"always": "sing"}, {"volume": 11}):
        with pytest.raises(urllib.error.HTTPError) as caught:
            fake_llm.set(**change)
        caught.value.close()


@pytest.mark.parametrize(
    "change",
    [
        {"required": ["summary"]},
        {"additionalProperties": True},
        {"properties": {"summary": {}}, "required": ["summary"]},
        {"properties": {"summary": {"type": "string", "maxLength": 5}}, "required": ["summary"]},
        {"properties": {"summary": {"oneOf": [{"type": "string"}]}}, "required": ["summary"]},
        {"properties": {"summary": {"allOf": [{"type": "string"}]}}, "required": ["summary"]},
        {"properties": {"summary": {"$ref": "#/$defs/x"}}, "required": ["summary"]},
        {"properties": {"summary": {"type": "string", "format": "uri"}}, "required": ["summary"]},
        {"properties": {"summary": {"type": "string", "enum": [1]}}, "required": ["summary"]},
        {"properties": {"summary": {"type": "array"}}, "required": ["summary"]},
        {"anyOf": [{"type": "object"}]},
        {"type": "array"},
    ],
)
def test_what_strict_mode_refuses(fake_llm: FakeLLM, change: dict[str, Any]) -> None:
    schema = {**GOOD, **change}
    with pytest.raises(strict_rules.Refused):
        strict_rules.check(schema)
    assert status(fake_llm, schema=schema) == 400


def test_bounds_are_refused_only_by_servers_that_do_not_know_them(fake_llm: FakeLLM) -> None:
    assert status(fake_llm) == 200
    fake_llm.set(refuse=["bounds"])
    assert status(fake_llm) == 400

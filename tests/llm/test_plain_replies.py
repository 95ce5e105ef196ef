"""The short way through plain replies finds what the long way does, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.llm.answer_text import parse_output
from apps.llm.failed_request import Fault
from apps.llm.plain_replies import plain_reply
from apps.llm.replies import ModelReply, parse_reply, read_reply

FOLDER = Path(__file__).parent / "data"
ANSWERS: list[dict[str, Any]] = json.loads((FOLDER / "answers.json").read_text("utf-8"))
USAGE: list[dict[str, Any]] = json.loads((FOLDER / "usage.json").read_text("utf-8"))
SAID = '{"topic": "billing"}'


def plain(**values: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": SAID, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 1_000,
            "completion_tokens": 20,
            "total_tokens": 1_020,
            "prompt_tokens_details": {"cached_tokens": 900, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
        **values,
    }


def both(body: Any) -> tuple[object, object]:
    """What is read of a body, by the short way where it is plain, and by the long one."""
    content = json.dumps(body).encode()
    short, value = parse_reply(content), json.loads(content)
    return short, read_reply(content, value, "analysis") if isinstance(value, dict) else short


def test_a_usual_reply_is_plain() -> None:
    assert plain_reply(plain()) is not None
    short, whole = both(plain())
    assert short == whole
    assert isinstance(short, ModelReply)
    assert (short.text, short.id, short.usage.cached) == (SAID, "chatcmpl-1", 900)


@pytest.mark.parametrize("case", ANSWERS, ids=lambda c: f"{c['provider']}: {c['id']}")
def test_both_ways_agree_on_every_carrier(case: dict[str, Any]) -> None:
    short, whole = both(case["body"])
    assert short == whole
    if isinstance(case["body"], dict):  # and the same in the frame of a plain reply
        framed = plain() | {k: v for k, v in case["body"].items() if k != "usage"}
        short, whole = both(framed)
        assert short == whole


@pytest.mark.parametrize("case", USAGE, ids=lambda c: f"{c['provider']}: {c['id']}")
def test_both_ways_agree_on_every_usage(case: dict[str, Any]) -> None:
    body = plain(**case["body"]) if "body" in case else plain(usage=case["usage"])
    short, whole = both(body)
    assert short == whole


NAMES = (
    *("error", "errors", "detail", "message", "code", "status", "type", "success", "object", "id"),
    *("content", "parts", "refusal", "reasoning", "tool_calls", "function_call", "finish_reason"),
    *("native_finish_reason", "usage", "output", "text", "response", "choices", "delta", "parsed"),
    *("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "cached_tokens"),
    *("prompt_tokens_details", "completion_tokens_details", "reasoning_tokens"),
    *("cache_read_input_tokens", "cache_creation_input_tokens", "x_groq", "annotations", "audio"),
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 3_000),
    st.sampled_from([2**31, 0.0, 12.0, 1.5, "", " ", "12", "stop", "length", "error", SAID, "Hi"]),
    st.lists(st.sampled_from([{}, {"text": SAID}, {"function": {"arguments": SAID}}]), max_size=2),
    st.dictionaries(st.sampled_from(NAMES), st.integers(-1, 2_000), max_size=3),
)
PLACES = st.sampled_from(["", "choice", "message", "usage", "input", "output"])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(PLACES, st.sampled_from(NAMES), VALUES), max_size=4), st.booleans())
def test_both_ways_agree_whatever_is_changed(
    changes: list[tuple[str, str, Any]], remove: bool
) -> None:
    body = plain()
    choice, usage = body["choices"][0], body["usage"]
    places = {
        "": body,
        "choice": choice,
        "message": choice["message"],
        "usage": usage,
        "input": usage["prompt_tokens_details"],
        "output": usage["completion_tokens_details"],
    }
    for place, name, value in changes:
        if remove:
            places[place].pop(name, None)
        else:
            places[place][name] = value
    short, whole = both(body)
    assert short == whole


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        VALUES,
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)
        ),
        max_leaves=25,
    )
)
def test_no_reply_breaks_the_reader(body: Any) -> None:
    assert isinstance(parse_reply(json.dumps(body).encode()), ModelReply | Fault)


@pytest.mark.parametrize(
    "text", ["{}", SAID, '{"a": 1} }', '{"a": "</s>"}', '{"a":1}{"b":2}', "{\u00a0}", '{"a":}']
)
def test_a_text_between_braces_is_read_as_with_blanks_around_it(text: str) -> None:
    assert parse_output(text) == parse_output(f" {text}</s>")

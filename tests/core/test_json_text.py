"""JSON as the API, imports and receivers read it: strictly, and in linear time."""

import json
from typing import Any

import pytest

from apps.api.endpoints import read_object
from apps.api.errors import NotJson
from apps.conversations.inputs import LineRefused
from apps.core.json_text import InvalidJson, _once_each, parse_json
from apps.intake.parser import read_json
from apps.llm.schema.json_text import parse as parse_schema

INVALID = {
    '{"a": 1, "a": 2}': "duplicate key “a”",
    '{"deep": [{"b": 1, "c": 2, "b": 1}]}': "duplicate key “b”",
    '{"a": 1, "\\u0061": 2}': "duplicate key “a”",
    '{"": 1, "": 2}': "duplicate key “”",
    '{"a": NaN}': "NaN is not a JSON number",
    '{"a": -Infinity}': "-Infinity is not a JSON number",
    '{"a": ' + "9" * 5_000 + "}": "a number has more than 4,300 digits",
    '{"a": -' + "9" * 5_000 + "}": "a number has more than 4,300 digits",
    "[" * 100_000: "the nesting is too deep",
}


@pytest.mark.parametrize("text", INVALID, ids=lambda text: text[:30])
def test_says_in_a_sentence_what_is_not_json(text: str, rf: Any) -> None:
    reason = INVALID[text]

    with pytest.raises(InvalidJson) as refused:
        parse_json(text)
    assert str(refused.value) == reason
    with pytest.raises(LineRefused) as line:
        read_json(text)
    assert reason in line.value.message
    with pytest.raises(NotJson) as body:
        read_object(rf.post("/", text, content_type="application/json"))
    assert body.value.message == f"Invalid JSON: {reason}."


@pytest.mark.parametrize("text", ['{"a": ' + "9" * 5_000 + "}", '{"a": NaN}'])
def test_a_schema_is_refused_in_a_sentence(text: str) -> None:
    value, problems = parse_schema(text)

    assert value is None
    assert "sys" not in problems[0].message


def comparisons_of(keys: int) -> int:
    """How often the names are looked at, whatever is done in C: by a key that counts."""
    looks = 0

    class Name(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal looks
            looks += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    pairs: list[tuple[str, object]] = [(Name(f"k{n}"), 1) for n in range(keys)]
    with pytest.raises(InvalidJson, match="duplicate key"):
        _once_each([*pairs, (Name(f"k{keys - 1}"), 2)])
    return looks


def test_a_key_given_twice_is_found_in_linear_time() -> None:
    assert comparisons_of(40_000) < 40_000 * 3, "quadratic would be 800,000,000"


def test_a_schema_with_every_name_twice_names_the_first() -> None:
    text = '{"properties": {' + ", ".join(f'"f{n // 2}": {{}}' for n in range(30_000)) + "}}"

    _, problems = parse_schema(text)

    assert len(problems) == 20
    assert problems[0].message == "The name “f0” occurs twice here."


def test_good_json_is_read_as_it_is() -> None:
    text = json.dumps({"a": [1, 2.5, None, True, {"b": "ü"}], "c": 10**300})

    assert parse_json(text) == parse_json(text.encode()) == json.loads(text)

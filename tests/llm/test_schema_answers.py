import json
import time
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from apps.llm.schema import (
    Checker,
    checker,
    clean,
    compile_strict,
    missing_required,
    problems,
)
from tests.llm.schemas import SUPPORT


def schema(required: list[str] | None = None, **fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": required or []}


def validate(cleaned: dict[str, Any], rules: dict[str, Any]) -> list[str]:
    """Return what is wrong with a cleaned answer, apart from missing fields of the root."""
    return checker(rules).messages(cleaned)


def test_a_good_answer_passes_and_empty_fields_go() -> None:
    answer: dict[str, Any] = {
        "summary": "Bill",
        "topic": "billing",
        "resolved": None,
        "effort": 2,
        "issues": [],
    }
    verdict = Checker(SUPPORT).examine(answer)
    assert verdict.output == {"summary": "Bill", "topic": "billing", "effort": 2, "issues": []}
    assert (verdict.missing_required, verdict.problems) == ([], [])


@pytest.mark.parametrize("empty", [None, "", " \n"])
def test_a_required_field_that_stayed_empty_is_missing_and_no_error(empty: str | None) -> None:
    verdict = Checker(SUPPORT).examine({"summary": empty, "topic": "other"})
    assert verdict.output == {"topic": "other"}
    assert (verdict.missing_required, verdict.problems) == (["summary"], [])


def test_functions_say_the_same_as_the_checker() -> None:
    answer = {"summary": "", "topic": "nope", "effort": 9}
    cleaned = clean(answer, SUPPORT)
    assert cleaned == {"topic": "nope", "effort": 9}
    assert missing_required(cleaned, SUPPORT) == ["summary"]
    assert validate(cleaned, SUPPORT) == [
        "/topic: 'nope' is not one of ['billing', 'technical_support', 'other']",
        "/effort: 9 is greater than the maximum of 5",
    ]


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ({"type": ["string", "null"]}, None, {}),
        ({"type": "array", "items": {"type": "string"}}, [], {"a": []}),
        ({"enum": ["", "x"]}, "", {"a": ""}),
        ({"type": "integer"}, 4.0, {"a": 4}),
        ({"type": "integer"}, 4.5, {"a": 4.5}),
        ({"type": "number"}, 4.0, {"a": 4.0}),
        ({}, {"any": [None]}, {"a": {"any": [None]}}),
        ({"type": "object", "properties": {"x": {"type": "string"}}}, {"x": None}, {}),
        ({"type": "object", "properties": {"x": {}}}, {"x": "", "y": 1}, {}),
        ({"type": "object", "properties": {"x": {}}, "additionalProperties": True}, {"y": 1},
         {"a": {"y": 1}}),
        ({"type": "object", "properties": {"x": {}}, "required": ["x"]}, {"x": ""},
         {"a": {"x": ""}}),
        ({"type": "array", "items": {"type": "object", "properties": {"x": {}}}},
         [{"x": None}, {"x": 1}], {"a": [{}, {"x": 1}]}),
        ({"anyOf": [{"type": "object", "properties": {"x": {}}}, {"type": "null"}]},
         {"x": None}, {}),
        ({"anyOf": [{"type": "object", "properties": {"x": {"type": "string"}}},
                    {"type": "object", "properties": {"x": {"type": "string"}, "y": {}}}]},
         {"x": None, "y": 1}, {"a": {"y": 1}}),
    ],
)  # fmt: skip
def test_cleaning(field: dict[str, Any], value: object, kept: dict[str, Any]) -> None:
    assert clean({"a": value}, schema(a=field)) == kept


def test_null_in_a_required_field_that_allows_it_is_an_answer() -> None:
    rules = schema(["a"], a={"type": ["string", "null"]})
    verdict = Checker(rules).examine({"a": None})
    assert (verdict.output, verdict.missing_required, verdict.problems) == ({"a": None}, [], [])


def test_unasked_fields_go_unless_the_schema_speaks_of_them() -> None:
    assert clean({"a": 1, "b": 2}, schema(a={})) == {"a": 1}
    forbidden = {**schema(a={}), "additionalProperties": False}
    assert validate(clean({"a": 1, "b": 2}, forbidden), forbidden) == ["'b' was not asked for"]
    named = {**schema(a={}), "patternProperties": {"^n_": {"type": "number"}}}
    assert clean({"n_1": 5}, named) == {"n_1": 5}
    assert validate({"n_1": "five"}, named) == ["/n_1: 'five' is not of type 'number'"]


def test_nested_required_fields_are_errors() -> None:
    rules = schema(a={"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]})
    assert validate({"a": {}}, rules) == ["/a: 'x' is a required property"]
    assert validate(clean({"a": {"x": None}}, rules), rules) == [
        "/a/x: None is not of type 'string'"
    ]


def test_an_untyped_field_takes_anything() -> None:
    for value in ("text", 5, True, [1], {"x": 1}):
        assert validate({"a": value}, schema(a={})) == []


def test_the_root_means_the_whole_schema_one_level_down() -> None:
    rules = schema(["name"], name={"type": "string"}, child={"$ref": "#"})
    verdict = Checker(rules).examine({"child": {"name": "x", "child": {}}})
    assert verdict.missing_required == ["name"]
    assert verdict.problems == ["/child/child: 'name' is a required property"]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("date", "2024-02-29", "2023-02-29"),
        ("time", "23:59:59Z", "24:00:00Z"),
        ("date-time", "2024-01-01T10:00:00+02:00", "2024-01-01 10:00"),
        ("duration", "P3DT4H", "P"),
        ("email", "a.b@example.com", "a.b"),
        ("hostname", "a.example.com", "-a.example"),
        ("ipv4", "10.0.0.1", "10.0.0.256"),
        ("ipv6", "::1", "::g"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567"),
        ("uri", "https://example.com/x?y", "example"),
        ("unheard-of", "anything", None),
    ],
)
def test_formats(kind: str, good: str, bad: str | None) -> None:
    rules = schema(a={"type": "string", "format": kind})
    assert validate({"a": good}, rules) == []
    if bad is not None:
        assert validate({"a": bad}, rules) == [f"/a: '{bad}' is not a '{kind}'"]


def test_a_hostile_pattern_cannot_block() -> None:
    rules = schema(a={"type": "string", "pattern": "^(a+)+$"})
    started = time.process_time()
    assert validate({"a": "a" * 50_000 + "!"}, rules)
    named = {**schema(), "patternProperties": {"^(a+)+$": {}}, "additionalProperties": False}
    assert validate({"a" * 50_000 + "!": 1}, named)
    assert time.process_time() - started < 30


def test_long_values_are_not_repeated_in_full() -> None:
    [message] = validate({"a": "x" * 1_000_000}, schema(a={"type": "integer"}))
    assert len(message) < 500
    assert message.endswith("is not of type 'integer'")


def test_at_most_ten_sentences() -> None:
    rules = schema(a={"type": "array", "items": {"type": "integer"}})
    assert len(validate({"a": ["x"] * 100}, rules)) == 10


def test_a_nest_of_answers_does_not_overflow() -> None:
    rules = schema(a={"$ref": "#/$defs/t"})
    rules["$defs"] = {"t": {"type": "object", "properties": {"a": {"$ref": "#/$defs/t"}}}}
    answer: dict[str, Any] = {}
    for _ in range(20_000):
        answer = {"a": answer}
    verdict = Checker(rules).examine({"a": answer})
    assert verdict.problems == ["The response is nested too deeply."]


def test_changing_a_schema_changes_the_verdict() -> None:
    rules = schema(a={"type": "string"})
    assert validate({"a": 1}, rules)
    rules["properties"]["a"]["type"] = "integer"
    assert validate({"a": 1}, rules) == []


def test_conditions_are_held_by_the_original() -> None:
    rules = {
        **schema(a={"type": "string"}, b={"type": "string"}),
        "if": {"properties": {"a": {"const": "x"}}, "required": ["a"]},
        "then": {"required": ["b"]},
    }
    assert validate({"a": "y"}, rules) == []
    assert validate({"a": "x"}, rules) == ["'b' is a required property"]


def test_json_stays_json() -> None:
    assert json.loads(json.dumps(clean({"summary": "é中"}, SUPPORT))) == {"summary": "é中"}


def test_answers_too_large_to_store_are_refused_by_size() -> None:
    fields: dict[str, Any] = {f"f{n}": {} for n in range(20)}
    rules = schema(None, a={"type": "string"}, **fields)
    assert Checker(rules).examine({"a": "x" * 65_536}).problems == []
    assert Checker(rules).examine({"a": "x" * 65_537}).problems == [
        "/a: this has 65,537 characters; the maximum is 65,536."
    ]
    many: dict[str, Any] = {f"f{n}": ["y" * 60_000] for n in range(20)}
    [problem] = Checker(rules).examine(many).problems
    assert problem.startswith("The response has 1,2")
    assert problem.endswith("The maximum is 524,288.")


def test_a_number_too_large_for_json_is_refused_in_a_value() -> None:
    for number in (float("inf"), float("nan"), 10**400, -(10**309)):
        [problem] = Checker(schema(a={})).examine({"a": [number]}).problems
        assert "a number is too large for JSON" in problem


ONE_OR_NONE = {"type": ["string", "null"], "enum": ["a", None]}


@pytest.mark.parametrize(
    "field",
    [
        {"type": "string", "enum": ["a", None]},
        {"type": "string", "enum": ["a"], "nullable": True},
        {"$ref": "#/$defs/one", "nullable": True},
        {"$ref": "#/$defs/one_or_none"},
        {"anyOf": [{"$ref": "#/$defs/one"}, {"type": "null"}]},
        {"anyOf": [{"const": "a"}, {"const": None}]},
        {"type": ["string", "integer"], "enum": ["a", 5, None]},
    ],
    ids=json.dumps,
)
def test_a_choice_that_may_be_empty_is_one_however_it_is_written(field: dict[str, Any]) -> None:
    written, plain = _twice(field), _twice(ONE_OR_NONE)

    assert problems(written) == []
    for value in (None, "a"):
        answer = {"c": value, "inner": {"c": value}}
        verdict = checker(written).examine(answer)
        assert verdict == checker(plain).examine(answer)
        assert verdict.problems == []
        assert Draft202012Validator(compile_strict(written).schema).is_valid(answer)
    assert checker(written).examine({"c": "b", "inner": {"c": "a"}}).problems
    assert written == _twice(field)


def _twice(field: dict[str, Any]) -> dict[str, Any]:
    """A schema with the same required field at its top and below."""
    inner = schema(["c"], c=field)
    one = {"type": "string", "enum": ["a"]}
    definitions = {"one": one, "one_or_none": {**one, "enum": ["a", None]}}
    return {**schema(["c", "inner"], c=field, inner=inner), "$defs": definitions}


def test_null_alone_is_no_choice_of_a_text() -> None:
    schema = {"type": "object", "properties": {"c": {"type": "string", "enum": [None]}}}
    assert [p.message for p in problems(schema)] == [
        "None of the choices matches the field's type."
    ]

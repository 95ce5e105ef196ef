"""Bad schemas: one clear sentence at its place."""

import json
import time
from typing import Any

import pytest

from apps.llm.schema import problems


def field(**schema: Any) -> str:
    return json.dumps({"type": "object", "properties": {"a": schema}})


def only(source: str | dict[str, Any]) -> tuple[str, str]:
    found = problems(source)
    assert len(found) == 1, found
    return found[0].pointer, found[0].message


@pytest.mark.parametrize(
    ("text", "pointer", "says"),
    [
        ("", "", "not JSON"),
        ('{"type": "object"', "", "not JSON"),
        ("[1]", "", "must be a JSON object, not a list"),
        ('"text"', "", "must be a JSON object"),
        ("true", "", "must be a JSON object"),
        ("{}", "", "needs “type”: “object”"),
        ('{"fields": {}}', "", "needs “type”: “object”"),
        ('{"type": "array"}', "/type", "must be “object”, not “array”"),
        ('{"type": ["object", "null"]}', "/type", "must be “object”"),
        ('{"type": "object", "x": NaN}', "", "NaN is not a number"),
        ('{"type": "object", "properties": {"a": {"description": "\\u0000"}}}',
         "/properties/a/description", "U+0000"),
        ('{"type": "object", "properties": {"a": {"description": "\\ud800"}}}',
         "/properties/a/description", "surrogate"),
        ('{"type": "object", "properties": {"": {}}}', "/properties/", "has no name"),
        ('{"type": "object", "properties": {"a\\u0007": {}}}',
         "/properties/a\x07", "cannot be seen"),
        (field(type="strng"), "/properties/a/type", "must be one of string,"),
        (field(minimum="1"), "/properties/a/minimum", "must be a number"),
        (field(multipleOf=0), "/properties/a/multipleOf", "above 0"),
        (field(maxLength=-1), "/properties/a/maxLength", "whole number"),
        (field(enum=[]), "/properties/a/enum", "at least one choice"),
        (field(enum="a"), "/properties/a/enum", "at least one choice"),
        (field(type="string", enum=[1, 2]), "/properties/a/enum", "None of the choices matches"),
        (field(items=[{}]), "/properties/a/items", "prefixItems"),
        (field(properties={"b": 5}), "/properties/a/properties/b", "must be an object"),
        (field(required="a"), "/properties/a/required", "list of names"),
        (field(anyOf=[]), "/properties/a/anyOf", "at least one schema"),
        (field(**{"$ref": "https://example.com/x.json"}), "/properties/a/$ref", "never fetched"),
        (field(**{"$ref": "other.json#/a"}), "/properties/a/$ref", "never fetched"),
        (field(**{"$ref": "#/$defs/none"}), "/properties/a/$ref", "points to nothing"),
        (field(**{"$ref": "#name"}), "/properties/a/$ref", "points to nothing"),
        (field(**{"$ref": "#/type"}), "/properties/a/$ref", "doesn't point to a schema"),
        (field(**{"$ref": "#/properties/a"}), "/properties/a", "refers to itself"),
        (field(**{"$dynamicRef": "#x"}), "/properties/a/$dynamicRef", "not supported"),
        (field(**{"$id": "x"}), "/properties/a/$id", "only allowed at the top"),
        (field(pattern="(?=a)b"), "/properties/a/pattern", "Can't use pattern"),
        (field(pattern=r"(a)\1"), "/properties/a/pattern", "Can't use pattern"),
        (field(pattern="["), "/properties/a/pattern", "Can't use pattern"),
        (field(type="object", patternProperties={"(?!x)": {}}),
         "/properties/a/patternProperties/(?!x)", "Can't use pattern"),
        (field(allOf=[{"type": "string"}, {"type": "number"}]), "/properties/a/allOf",
         "no type in common"),
        (field(allOf=[{"enum": ["a"]}, {"enum": ["b"]}]), "/properties/a/allOf",
         "no choice in common"),
    ],
)  # fmt: skip
def test_one_sentence_at_its_place(text: str, pointer: str, says: str) -> None:
    found_pointer, message = only(text)
    assert found_pointer == pointer
    assert says in message
    assert message.endswith(".")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"properties": {"summary": {}}},
        {"type": "object", "properties": {"summary": {}}},
        {"type": "object", "properties": {"summary": {"description": "untyped"}}},
        {"type": "object", "properties": {"a": True}},
        {"type": "object", "properties": {"a": False, "b": {}}},
        {"type": "object", "properties": {"a": {}}, "required": ["missing"]},
        {"type": "object", "properties": {"a": {"pattern": r"^\u00e9\d+$"}}},
        {"type": "object", "properties": {"a": {"$ref": "#"}}},
        {"type": "object", "properties": {"a": {"type": "object"}}},
        {"type": "object", "properties": {"a": {"not": {"type": "null"}}}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object",
         "properties": {"a": {"$ref": "#/definitions/x"}}, "definitions": {"x": {}}},
        {"type": "object", "properties": {"a": {"type": "string", "maxLength": 5.0}}},
        {"type": "object", "properties": {"a": {"x-condition": "if", "nullable": True}}},
    ],
)  # fmt: skip
def test_what_people_write_is_taken(schema: dict[str, Any]) -> None:
    assert problems(schema) == []
    assert problems(json.dumps(schema)) == []


def test_line_and_column_of_a_syntax_error() -> None:
    [problem] = problems('{\n  "type": "object",\n  "properties": {,}\n}')
    assert (problem.line, problem.column) == (3, 18)


def test_line_and_column_of_a_fault_inside() -> None:
    text = '{\n  "type": "object",\n  "properties": {\n    "a~b/c": {"type": "x"}\n  }\n}'
    [problem] = problems(text)
    assert (problem.pointer, problem.line, problem.column) == (
        "/properties/a~0b~1c/type", 4, 15,
    )  # fmt: skip
    assert str(problem).startswith("line 4, column 15: “type” must be")


def test_a_name_that_stands_twice() -> None:
    text = '{"type": "object", "properties": {"a": {}, "b": [{"c": 1}],\n "a": {}}}'
    [problem] = problems(text)
    assert (problem.pointer, problem.line, problem.column) == ("/properties/a", 2, 2)
    assert problem.message == "The name “a” occurs twice here."


def test_all_faults_are_named_together() -> None:
    text = json.dumps({"type": "object", "properties": {c: {"type": c} for c in "abc"}})
    assert [problem.pointer for problem in problems(text)] == [
        f"/properties/{c}/type" for c in "abc"
    ]


def test_a_value_has_no_lines() -> None:
    [problem] = problems({"type": "array"})
    assert (problem.line, problem.column) == (None, None)


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        (nested(11), "maximum 10 levels"),
        (nested(200), "deeper than"),
        ({"type": "object", "properties": {f"f{i}": {} for i in range(10_000)}},
         "10,000 fields. The maximum is 5,000"),
        ({"type": "object", "properties": {"a": {"enum": list(range(1_001))}}},
         "1,001 choices. The maximum is 1,000"),
        ({"type": "object", "properties": {"a": {"enum": [f"{i}" * 20 for i in range(300)]}}},
         "maximum for a long list is 15,000"),
        ({"type": "object", "properties": {f"{i:0130}": {} for i in range(1_000)}},
         "characters in its names"),
    ],
    ids=["depth 11", "depth 200", "10,000 fields", "choices", "long choices", "names"],
)  # fmt: skip
def test_limits_are_told_at_once(schema: dict[str, Any], says: str) -> None:
    text = json.dumps(schema)
    started = time.process_time()
    _, message = only(text)
    assert says in message
    assert time.process_time() - started < 30


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "1" * 5_000, '"' + "x" * 2_000_000]
)
def test_hostile_texts_are_answered_at_once(text: str) -> None:
    started = time.process_time()
    assert problems(text)
    assert time.process_time() - started < 30


def test_ten_levels_are_taken() -> None:
    assert problems(nested(10)) == []


def doubling(keyword: str, **beside: Any) -> dict[str, Any]:
    """A schema of a few lines in which every level stands twice in the next one."""
    levels = {
        f"d{n}": {keyword: [{"$ref": f"#/$defs/d{n + 1}", **beside}, {"$ref": f"#/$defs/d{n + 1}"}]}
        for n in range(30)
    }
    last = {"type": "object", "properties": {"a": {"type": "string"}}}
    field = {"$ref": "#/$defs/d0", "minProperties": 0}
    return {"type": "object", "properties": {"v": field}, "$defs": {**levels, "d30": last}}


PRODUCT = {
    "type": "object",
    "properties": {
        "v": {
            "type": "object",
            "allOf": [{"anyOf": [{"required": [f"{n}{m}"]} for m in range(4)]} for n in range(12)],
        }
    },
}


@pytest.mark.parametrize("schema", [doubling("anyOf", title="t"), doubling("oneOf"), PRODUCT])
def test_schemas_that_explode_are_refused(schema: dict[str, Any]) -> None:
    assert len(json.dumps(schema)) < 10_000
    [problem] = problems(schema)
    assert "too large once its references" in problem.message


def test_all_of_that_doubles_is_taken_once() -> None:
    assert problems(doubling("allOf")) == []


def test_a_schema_given_as_a_value_is_limited_too() -> None:
    schema = {"type": "object", "properties": {"a": {"description": "x" * 5_000_000}}}
    for source in (schema, json.dumps(schema)):
        [problem] = problems(source)
        assert "The maximum is 500,000" in problem.message

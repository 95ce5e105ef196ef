import json
from typing import Any

import pytest

from apps.llm.schema import SchemaError, compile_strict, problems
from tests.fakes import strict_rules


def fields(schema: dict[str, Any], **options: Any) -> dict[str, Any]:
    compiled = compile_strict(schema, **options)
    if compiled.closed:
        strict_rules.check(compiled.schema)
    result = compiled.schema["properties"]
    assert isinstance(result, dict)
    return result


def field(options: dict[str, Any] | None = None, /, **schema: Any) -> Any:
    return fields({"type": "object", "properties": {"a": schema}}, **(options or {}))["a"]


def test_every_own_field_may_stay_empty() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "boolean"}},
        "required": ["a"],
    }
    compiled = compile_strict(schema)
    assert compiled.schema == {
        "type": "object",
        "properties": {"a": {"type": ["string", "null"]}, "b": {"type": ["boolean", "null"]}},
        "required": ["a", "b"],
        "additionalProperties": False,
    }


def test_a_required_name_must_be_filled_in() -> None:
    assert field({"required_names": ["a"]}, type="string") == {"type": "string"}


def test_an_untyped_field_is_text() -> None:
    assert field(description="Anything") == {
        "type": ["string", "null"],
        "description": "Anything.",
    }


@pytest.mark.parametrize(
    ("schema", "compiled"),
    [
        ({"enum": ["a", "b"]}, {"type": ["string", "null"], "enum": ["a", "b", None]}),
        ({"type": "string", "enum": ["a", 1]}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"enum": [1, "x"]}, {"type": ["integer", "string", "null"], "enum": [1, "x", None]}),
        ({"const": 5}, {"type": ["integer", "null"], "enum": [5, None]}),
        ({"enum": [None, True]}, {"type": ["null", "boolean"], "enum": [None, True]}),
        ({"minimum": 1}, {"type": ["number", "null"], "minimum": 1}),
        ({"type": "integer", "minimum": 0, "minLength": 3, "description": ""},
         {"type": ["integer", "null"], "description": "At least 3 characters.", "minimum": 0}),
        ({"items": {}}, {"type": ["array", "null"], "items": {"type": "string"}}),
        ({"type": "array"}, {"type": ["array", "null"], "items": {"type": "string"}}),
        ({"type": "array", "uniqueItems": True, "minItems": 1, "items": {"type": "integer"}},
         {"type": ["array", "null"], "description": "No item twice.", "minItems": 1,
          "items": {"type": "integer"}}),
        ({"type": ["string", "integer"]}, {"type": ["string", "integer", "null"]}),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]},
         {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}),
        ({"type": "string", "format": "uri", "default": "x", "maxLength": 9, "minLength": 2},
         {"type": ["string", "null"], "description": "Between 2 and 9 characters. "
          "A full address with its scheme, such as https://example.com/page."}),
        ({"type": "string", "format": "date"}, {"type": ["string", "null"], "format": "date"}),
        ({"type": "string", "not": {"const": "x"}, "if": {}, "then": {}},
         {"type": ["string", "null"], "description": 'It must not fit {"const": "x"}.'}),
        ({"allOf": [{"type": "string"}, {"pattern": "^x"}], "description": "d"},
         {"type": ["string", "null"], "description": "d.", "pattern": "^x"}),
        ({"allOf": [{"minimum": 1}, {"minimum": 3, "type": "integer"}, {"type": "number"}]},
         {"type": ["integer", "null"], "minimum": 3}),
        ({"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}]},
         {"type": ["array", "null"],
          "description": 'Its items in this order: [{"type": "string"}, {"type": "number"}].',
          "items": {"anyOf": [{"type": "string"}, {"type": "number"}]}}),
    ],
)  # fmt: skip
def test_keywords(schema: dict[str, Any], compiled: dict[str, Any]) -> None:
    assert field(**schema) == compiled


def test_condition_and_examples_are_told_in_words() -> None:
    compiled = field(
        {"required_names": []},
        **{"description": "Why", "x-condition": "it was escalated", "examples": ["fee", 3]},
    )
    assert compiled["description"] == (
        "Why. Only fill this in under this condition, else null: it was escalated. "
        'Examples: "fee", 3.'
    )


def test_a_condition_on_a_required_field_is_ignored() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"description": "Why", "x-condition": "never"}},
        "required": ["a"],
    }
    assert fields(schema)["a"]["description"] == "Why."


def test_nested_required_fields_are_not_nullable_and_optional_ones_are() -> None:
    inner = {"type": "object", "properties": {"x": {"type": "string"}, "y": {"type": "number"}}}
    compiled = field(**{**inner, "required": ["x"]})
    assert compiled["type"] == ["object", "null"]
    assert compiled["properties"] == {"x": {"type": "string"}, "y": {"type": ["number", "null"]}}
    assert compiled["required"] == ["x", "y"]
    assert compiled["additionalProperties"] is False


def test_a_required_name_without_a_definition_is_asked_for() -> None:
    schema = {"type": "object", "properties": {"a": {}}, "required": ["b"]}
    assert list(fields(schema)) == ["a", "b"]


def test_references_and_recursion_are_kept() -> None:
    schema = {
        "type": "object",
        "properties": {"t": {"$ref": "#/$defs/tree", "description": "The tree"}},
        "$defs": {
            "unused": {"type": "string"},
            "tree": {
                "type": "object",
                "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
                "required": ["kids"],
            },
        },
    }
    compiled = compile_strict(schema).schema
    strict_rules.check(compiled)
    assert compiled["properties"] == {
        "t": {"description": "The tree.", "anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}
    }
    assert list(compiled["$defs"]) == ["tree"]  # type: ignore[call-overload]  # an object


def test_places_outside_of_defs_are_hoisted() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a/b": {"type": "object", "properties": {"x": {"type": "string"}}},
            "c": {"$ref": "#/properties/a~1b"},
            "d": {"$ref": "#/definitions/old"},
            "e": {"$ref": "#"},
        },
        "definitions": {"old": {"enum": ["x"]}},
    }
    compiled = compile_strict(schema).schema
    strict_rules.check(compiled)
    assert set(compiled["$defs"]) == {"old", "properties_a_b", "root"}  # type: ignore[call-overload]  # an object


def test_a_map_cannot_be_strict() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "object"}}}
    assert not compile_strict(schema).closed
    schema = {"type": "object", "properties": {"a": {"additionalProperties": {"type": "string"}}}}
    assert not compile_strict(schema).closed


def test_order_is_kept_and_bytes_are_stable() -> None:
    names = ["zeta", "alpha", "中", "m"]
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
    compiled = compile_strict(schema)
    assert list(json.loads(compiled.text)["properties"]) == names
    again = compile_strict(json.loads(json.dumps(schema)))
    assert (again.text, again.sha256) == (compiled.text, compiled.sha256)
    assert '"中"' in compiled.text


def test_request_members_are_valid_json() -> None:
    compiled = compile_strict({"type": "object", "properties": {'q"uote': {"description": "ü"}}})
    strict = json.loads(b"{" + compiled.strict_parameters + b"}")
    assert strict["response_format"]["json_schema"]["schema"] == compiled.schema
    tool = json.loads(b"{" + compiled.tool_parameters + b"}")
    assert tool["tools"][0]["function"]["parameters"] == compiled.schema
    assert compiled.text in compiled.instruction


def test_all_of_with_references_is_inlined_and_a_circle_is_refused() -> None:
    base = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}
    schema = {
        "type": "object",
        "properties": {
            "a": {"allOf": [{"$ref": "#/$defs/base"}, {"properties": {"y": {"type": "number"}}}]}
        },
        "$defs": {"base": base},
    }
    assert list(fields(schema)["a"]["properties"]) == ["x", "y"]
    schema["$defs"] = {"base": {"allOf": [{"$ref": "#/$defs/base"}]}}
    with pytest.raises(SchemaError, match="contains itself"):
        compile_strict(schema)
    assert problems(schema)


def test_a_root_that_refers_is_merged() -> None:
    schema = {
        "type": "object",
        "$ref": "#/$defs/base",
        "properties": {"y": {"type": "number"}},
        "$defs": {"base": {"properties": {"x": {"type": "string"}}}},
    }
    assert list(fields(schema)) == ["y", "x"]

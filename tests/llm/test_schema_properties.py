"""Compiler, strict rules, answers and validator, held against each other on random schemas."""

import json
from typing import Any

import jsonschema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.llm.schema import Checker, compile_strict, problems
from apps.llm.schema.rules import node_problem
from tests.fakes import strict_rules
from tests.fakes.instances import Dice, plan
from tests.llm.schemas import operator_schemas

quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)


@quick
@given(operator_schemas(), st.text("abcdefghijklmnop", min_size=1, max_size=6))
def test_what_is_compiled_is_taken_and_answered_within_the_original(
    schema: dict[str, Any], seed: str
) -> None:
    assert problems(json.dumps(schema)) == []
    compiled = compile_strict(schema)
    strict_rules.check(compiled.schema)
    answer = plan(compiled.schema)(Dice(seed), 0)
    verdict = Checker(schema).examine(answer)
    assert verdict.problems == [], (compiled.text, answer)
    assert set(verdict.output) <= set(schema["properties"])
    assert None not in [
        value for name, value in verdict.output.items() if name not in schema.get("required", [])
    ]


@quick
@given(operator_schemas())
def test_compiling_is_deterministic_and_leaves_the_original_alone(schema: dict[str, Any]) -> None:
    before = json.dumps(schema)
    first = compile_strict(schema)
    assert json.dumps(schema) == before
    assert compile_strict(json.loads(before)).text == first.text
    assert list(first.schema["properties"]) == list(schema["properties"])  # type: ignore[call-overload]  # an object


_odd = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.floats(allow_nan=False, allow_infinity=False),
    st.text("ab", max_size=3), st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text("ab", max_size=2), st.integers(), max_size=2),
    st.lists(st.sampled_from(["string", "null"]), max_size=3),
)  # fmt: skip
_KEYWORDS = (
    *("type", "enum", "title", "description", "format", "examples", "uniqueItems", "minimum"),
    *("exclusiveMaximum", "multipleOf", "required", "minLength", "maxItems", "allOf", "anyOf"),
    *(
        "properties",
        "$defs",
        "items",
        "not",
        "dependentRequired",
        "readOnly",
        "additionalProperties",
    ),
)


@quick
@given(st.dictionaries(st.sampled_from(_KEYWORDS), _odd, min_size=1, max_size=2))
def test_whatever_the_metaschema_refuses_is_refused_here(node: dict[str, Any]) -> None:
    try:
        jsonschema.Draft202012Validator.check_schema(node)
    except jsonschema.SchemaError:
        schema = {"type": "object", "properties": {"field": node}}
        assert problems(schema), node


@quick
@given(st.dictionaries(st.sampled_from(_KEYWORDS), _odd, min_size=1, max_size=2))
def test_what_is_refused_here_is_refused_by_the_metaschema(node: dict[str, Any]) -> None:
    # Stricter here: an empty list of choices can never be answered, and types stand once.
    if node_problem(node) and node.get("enum") != []:
        try:
            jsonschema.Draft202012Validator.check_schema(node)
        except jsonschema.SchemaError:
            return
        raise AssertionError(node_problem(node))


_json = st.recursive(
    _odd, lambda inner: st.dictionaries(st.text("ab", max_size=2), inner, max_size=3), max_leaves=6
)


@quick
@given(operator_schemas(), _json)
def test_no_answer_breaks_the_checker(schema: dict[str, Any], answer: Any) -> None:
    names = list(schema["properties"])
    Checker(schema).examine(dict.fromkeys(names[:3], answer))


@quick
@given(_json)
def test_no_value_breaks_the_problems(value: Any) -> None:
    assert problems(json.dumps(value))
    assert problems({"type": "object", "properties": {"a": {"b": value}}, "x": value}) == []
    problems({"type": "object", "properties": value})

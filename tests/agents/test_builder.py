"""Builder rows and JSON Schema: nothing is lost by switching."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.agents.builder import (
    KINDS,
    BuilderRow,
    NotShowable,
    RowError,
    read_rows,
    rows_of,
    schema_of,
)

DEMO = json.loads(Path("apps/demo/data/agents.json").read_text())

letters = st.characters(codec="utf-8", exclude_characters="\r")  # a browser sends none alone
lines = st.characters(codec="utf-8", exclude_characters="\r\n")
words = st.text(lines, min_size=1).filter(lambda text: bool(text.strip()))
names = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
numbers = st.integers(-1000, 1000) | st.floats(-1e6, 1e6)


@st.composite
def row(draw: st.DrawFn) -> BuilderRow:
    kind = draw(st.sampled_from(list(KINDS)))
    low, high = sorted([draw(numbers), draw(numbers)])
    numeric = kind in {"number", "integer", "list"}
    if kind == "list":
        low, high = sorted(draw(st.tuples(st.integers(0, 9), st.integers(0, 9))))
    listed = st.lists(words, max_size=3, unique=True).map(tuple)
    choices = listed.filter(bool) if kind == "selector" else listed
    examples = {
        "yes_no": st.sampled_from(["yes", "no"]),
        "integer": st.integers().map(str),
        "number": numbers.map(json.dumps),
        "list": st.lists(words).map(json.dumps),
    }.get(kind, words)
    return BuilderRow(
        name=draw(names),
        kind=kind,
        description=draw(st.text(letters)),
        choices=draw(choices) if kind in {"selector", "list"} else (),
        examples=tuple(draw(st.lists(examples, max_size=3))),
        minimum=low if numeric and draw(st.booleans()) else None,
        maximum=high if numeric and draw(st.booleans()) else None,
        required=draw(st.booleans()),
        condition=draw(st.text(letters)),
    )


rows = st.lists(row(), max_size=5, unique_by=lambda item: item.name)


@given(rows)
def test_rows_to_schema_and_back(made: list[BuilderRow]) -> None:
    schema = schema_of(made)
    again = rows_of(schema)
    assert schema_of(again) == schema
    assert [r.name for r in again] == [r.name for r in made]
    assert [r.required for r in again] == [r.required for r in made]


@given(rows)
def test_rows_through_the_form(made: list[BuilderRow]) -> None:
    shown = rows_of(schema_of(made))
    sent = json.loads(json.dumps([r.as_dict() for r in shown]))
    assert schema_of(read_rows(sent)) == schema_of(made)


values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
keywords = st.sampled_from(
    ["type", "format", "description", "enum", "examples", "minimum", "items", "x-condition", "$ref"]
)
plain = st.sampled_from(
    ["string", "boolean", "number", "integer", "array", "date", {"type": "string"}, ["a", "b"]]
)
properties = st.dictionaries(keywords, plain | values, max_size=5)


@given(
    st.dictionaries(names, properties | values, max_size=4),
    st.lists(names, max_size=2),
    st.dictionaries(st.sampled_from(["title", "$defs", "additionalProperties"]), values),
)
def test_what_rows_can_show_comes_back_byte_for_byte(
    fields: dict[str, Any], required: list[str], rest: dict[str, Any]
) -> None:
    schema = {"title": "x", "type": "object", "required": required, "properties": fields} | rest
    try:
        shown = rows_of(schema)
    except NotShowable:
        return
    assert json.dumps(schema_of(shown, base=schema)) == json.dumps(schema)


@given(values)
def test_rows_from_anywhere_are_read_or_refused(value: object) -> None:
    for sent in (value, [value], [{"name": "a", "choices": value, "minimum": value}]):
        with suppress(RowError):
            schema_of(read_rows(sent))


@pytest.mark.parametrize(
    "schema",
    [v["analysis"]["schema"] for a in DEMO for v in a["versions"]],
)
def test_the_demo_is_shown_in_rows(schema: dict[str, Any]) -> None:
    assert json.dumps(schema_of(rows_of(schema), base=schema)) == json.dumps(schema)


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"type": "object", "properties": {}}, "properties"),
        ({"$ref": "#/$defs/a"}, "$ref"),
        ({"anyOf": [{"type": "string"}]}, "anyOf"),
        ({"type": ["string", "null"]}, "type of"),
        ({"type": "null"}, "type of"),
        ({"minItems": 1}, "the number of items"),
        ({"type": "string", "maxItems": 1}, "the number of items"),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 2.0}, "contradicts itself"),
        ({"type": "number", "minimum": 2, "maximum": 1}, "contradicts itself"),
        (True, "not described"),
        ({"type": "integer", "enum": [1, 2]}, "choices"),
        ({"type": "string", "enum": ["a", None]}, "choices"),
        ({"type": "string", "enum": []}, "choices"),
        ({"type": "string", "pattern": "a"}, "pattern"),
        ({"type": "string", "format": "email"}, "format"),
        ({"type": "string", "minimum": 1}, "bounds"),
        ({"type": "array"}, "items"),
        ({"type": "array", "items": {"type": "number"}}, "items"),
        ({"type": "number", "examples": ["1"]}, "example"),
        ({"type": "string", "examples": ["a\nb"]}, "not one line"),
        ({"type": "string", "enum": ["a", ""]}, "not one line"),
        ({"type": "string", "examples": []}, "form of writing"),
        ({"type": "string", "description": ""}, "form of writing"),
    ],
)
def test_what_rows_cannot_show_is_said(field: object, said: str) -> None:
    with pytest.raises(NotShowable, match=r".*") as refused:
        rows_of({"type": "object", "properties": {"a": field}})
    assert said in str(refused.value)


def test_what_is_at_the_top_is_kept_or_said() -> None:
    base = {"$schema": "s", "title": "t", "type": "object", "properties": {}}
    assert schema_of([BuilderRow("a", required=True)], base=base) == {
        **base,
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
    }
    with pytest.raises(NotShowable, match=r"\$defs"):
        rows_of({"type": "object", "properties": {}, "$defs": {}})


def test_fields_without_a_type_are_text_and_stay_without() -> None:
    base = {
        "properties": {"summary": {}, "topic": {"enum": ["a", "b"]}, "why": {"x-condition": "c"}}
    }
    shown = rows_of(base)
    assert [r.kind for r in shown] == ["text", "selector", "text"]
    assert json.dumps(schema_of(shown, base=base)) == json.dumps(base)
    changed = schema_of([replace(shown[0], kind="yes_no"), *shown[1:]], base=base)
    assert changed["properties"]["summary"] == {"type": "boolean"}
    assert "type" not in changed


def test_the_bounds_of_a_list_are_of_its_number_of_items() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"type": "string"}, "maxItems": 10}},
    }
    [shown] = rows_of(schema)
    assert (shown.kind, shown.minimum, shown.maximum) == ("list", None, 10)
    assert schema_of([shown], base=schema) == schema


def test_an_edited_field_keeps_the_order_of_its_keywords() -> None:
    base = {"type": "object", "properties": {"a": {"description": "x", "type": "string"}}}
    [shown] = rows_of(base)
    edited = schema_of([BuilderRow("a", "text", "y", condition="If so.")], base=base)
    assert list(edited["properties"]["a"]) == ["description", "type", "x-condition"]
    assert shown.description == "x"


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        (BuilderRow("a", "selector"), "choices"),
        (BuilderRow("a", "number", examples=("x",)), "examples"),
        (BuilderRow("a", "number", examples=("NaN",)), "examples"),
        (BuilderRow("a", "integer", examples=("1.5",)), "examples"),
        (BuilderRow("a", "integer", examples=("true",)), "examples"),
        (BuilderRow("a", "yes_no", examples=("maybe",)), "examples"),
        (BuilderRow("a", "number", minimum=2, maximum=1), "minimum"),
        (BuilderRow("a", "list", maximum=-1), "maximum"),
        (BuilderRow("a", "list", minimum=1.5), "minimum"),
        (BuilderRow("b"), "name"),
    ],
)
def test_rows_that_are_wrong_say_which_part(wrong: BuilderRow, part: str) -> None:
    with pytest.raises(RowError) as refused:
        schema_of([BuilderRow("b"), wrong])
    assert (refused.value.row, refused.value.part) == (1, part)

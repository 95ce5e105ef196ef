"""What blocks a save, each with its place and a sentence."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.agents.changes import Fault, merge
from apps.agents.content import Content, canonical_editor
from apps.agents.documents import default_columns


def content(channel: str = "voice") -> Content:
    editor = canonical_editor(channel, {"model": "m"})
    made = Content(channel, editor)
    return Content(channel, editor, columns=default_columns(channel, made.document()))


def faults_of(changes: object, channel: str = "voice") -> list[Fault]:
    return merge(content(channel), changes)[1]


def schema_faults(schema: object) -> list[Fault]:
    return faults_of({"analysis": {"schema": schema}})


def fields(**named: Any) -> dict[str, Any]:
    return {"type": "object", "properties": named, "required": []}


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("{", "not JSON"),
        ("", "not JSON"),
        ("[]", "must be a JSON object"),
        ([], "must be a JSON object"),
        (None, "must be a JSON object"),
        ('{"type": "array"}', "must be “object”"),
        ("{}", "“type”: “object”"),
        (fields(a={"type": "strin"}), "must be one of"),
        (fields(a={"type": "string", "pattern": "(?=x)"}), "Can't use pattern"),
        (fields(a={"$ref": "https://example.com/x.json"}), "never fetched"),
        (fields(a={"$ref": "#/$defs/none"}), "points to nothing"),
        (fields(**{f"f{i}": {"type": "string"} for i in range(10_000)}), "10,000 fields"),
        (fields(**{"": {}}), "no name"),
        (fields(**{" ": {}}), "no name"),
        (fields(**{"x" * 65: {}}), "65 characters"),
        (fields(**{"x" * 500: {}}), "more than 200"),
        (fields(**{"a\x07b": {}}), "cannot be seen"),
        (fields(**{"a\x00b": {}}), "invalid character"),
        (fields(**{" a": {}}), "starts or ends with a space"),
        (fields(call_summary={}), "built-in field"),
        (fields(a={"minimum": 1e999}), "too large for JSON"),
        (fields(a={"default": 1e999}), "too large for JSON"),
        ({**fields(a={}), "required": ["b"]}, "not a field"),
    ],
)
def test_schemas_that_are_refused(schema: object, said: str) -> None:
    found = schema_faults(schema)
    assert found
    assert found[0].place == "analysis.schema"
    assert said in found[0].message


def test_a_schema_nested_200_deep_is_refused_at_once() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(200):
        deep = {"type": "object", "properties": {"a": deep}}
    started = time.process_time()
    assert "deeper" in schema_faults(deep)[0].message
    assert "deeper" in schema_faults("[" * 100_000)[0].message
    assert time.process_time() - started < 30


def test_a_fault_in_text_has_its_line_and_column() -> None:
    broken = '{"type": "object",\n  "properties": {\n    "a": {"type": "text"}}}'
    [fault] = schema_faults(broken)
    assert (fault.line, fault.column, fault.pointer) == (3, 11, "/properties/a/type")
    twice = '{"type": "object", "properties": {\n "a": {}, "a": {}}}'
    [fault] = schema_faults(twice)
    assert (fault.line, fault.column) == (2, 11)
    assert "occurs twice" in fault.message
    collides = '{"type": "object", "properties": {\n "user_sentiment": {}}}'
    [fault] = schema_faults(collides)
    assert (fault.line, fault.column) == (2, 2)
    assert str(fault).startswith("Line 2, column 2: “user_sentiment” is reserved for a built-in")


def test_a_built_in_that_is_off_still_keeps_its_name() -> None:
    changes = {
        "analysis": {
            "built_ins": {"call_summary": {"enabled": False}},
            "schema": fields(call_summary={"type": "string"}),
        }
    }
    assert "built-in" in faults_of(changes)[0].message
    assert not faults_of({"analysis": {"schema": fields(call_summary={})}}, "chat")


@pytest.mark.parametrize("name", ["a.b", "a__b", "with blank", "名前", "שם", "q?=&", "x" * 64])
def test_names_that_a_filter_can_take(name: str) -> None:
    assert not schema_faults(fields(**{name: {"type": "string"}}))


def test_nothing_to_fill_in() -> None:
    off = {
        name: {"enabled": False} for name in ("call_summary", "call_successful", "user_sentiment")
    }
    [fault] = faults_of({"analysis": {"built_ins": off}})
    assert "Add a field or turn on a built-in field" in fault.message
    with_field = {"analysis": {"built_ins": off, "schema": fields(a={"type": "string"})}}
    assert not faults_of(with_field)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ([], ""),
        ({"analysys": {}}, "analysys"),
        ({"analysis": []}, "analysis"),
        ({"analysis": {"prompt": "x"}}, "analysis.prompt"),
        ({"analysis": {"instructions": 7}}, "analysis.instructions"),
        ({"analysis": {"instructions": "x" * 1_000_000}}, "analysis.instructions"),
        ({"analysis": {"instructions": "a\x00"}}, "analysis.instructions"),
        ({"analysis": {"instructions": "a\ud800"}}, "analysis.instructions"),
        ({"analysis": {"built_ins": {"chat_summary": {}}}}, "analysis.built_ins.chat_summary"),
        (
            {"analysis": {"built_ins": {"call_summary": {"enabled": 1}}}},
            "analysis.built_ins.call_summary.enabled",
        ),
        (
            {"analysis": {"built_ins": {"call_summary": {"prompt": []}}}},
            "analysis.built_ins.call_summary.prompt",
        ),
        ({"columns": {"summary": "gone"}}, "columns.summary"),
        ({"columns": {"colour": "x"}}, "columns.colour"),
        ({"post_analysis": {"enabled": "yes"}}, "post_analysis.enabled"),
        ({"post_analysis": {"sample_percent": 101}}, "post_analysis.sample_percent"),
        ({"post_analysis": {"sample_percent": -1}}, "post_analysis.sample_percent"),
        ({"post_analysis": {"sample_percent": "5"}}, "post_analysis.sample_percent"),
        ({"post_analysis": {"sample_percent": float("nan")}}, "post_analysis.sample_percent"),
        ({"post_analysis": {"sample_percent": 0.0001}}, "post_analysis.sample_percent"),
        ({"post_analysis": {"min_seconds": -1}}, "post_analysis.min_seconds"),
        ({"post_analysis": {"min_seconds": 1.5}}, "post_analysis.min_seconds"),
        ({"post_analysis": {"min_messages": 1e30}}, "post_analysis.min_messages"),
        ({"post_analysis": {"min_messages": True}}, "post_analysis.min_messages"),
        ({"post_analysis": {"chat_idle_seconds": 119}}, "post_analysis.chat_idle_seconds"),
        ({"post_analysis": {"chat_idle_seconds": 259_201}}, "post_analysis.chat_idle_seconds"),
        ({"post_analysis": {"long_transcript": "cut"}}, "post_analysis.long_transcript"),
        ({"post_analysis": {"long_transcript": {}}}, "post_analysis.long_transcript"),
    ],
)
def test_places_of_faults(changes: object, place: str) -> None:
    found = faults_of(changes)
    assert [fault.place for fault in found] == [place]
    assert found[0].message.endswith((".", "”"))


def test_every_fault_is_told_at_once() -> None:
    changes = {
        "analysis": {"instructions": "\x00", "schema": "{"},
        "post_analysis": {"sample_percent": 200},
    }
    assert {fault.place for fault in faults_of(changes)} == {
        "analysis.instructions",
        "analysis.schema",
        "post_analysis.sample_percent",
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["analysis", "schema", "type", "properties", "a", "columns", "summary"])
            | st.text(),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_no_change_however_odd_raises(changes: object) -> None:
    merge(content(), changes)
    merge(content(), {"analysis": {"schema": changes}})
    merge(content(), {"analysis": changes, "post_analysis": changes, "columns": changes})


@given(st.text())
def test_any_text_as_a_schema_is_refused_or_read(text: str) -> None:
    schema_faults(text)


def test_a_whole_draft_merged_into_itself_is_itself() -> None:
    whole = content()
    merged, faults = merge(whole, whole.as_draft())
    assert not faults
    assert merged.same_as(whole)

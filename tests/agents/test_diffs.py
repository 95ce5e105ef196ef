"""Differences for people."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from apps.agents.changes import merge
from apps.agents.content import Content, canonical_editor
from apps.agents.diffs import Diff, diff_configs, diff_contents


def content(**fields: Any) -> Content:
    required = [name for name, value in fields.items() if value.pop("required", False)]
    schema = {"type": "object", "properties": fields, "required": required}
    return Content("voice", canonical_editor("voice", {"model": "m", "schema": schema}))


def changed(before: Content, **changes: Any) -> Diff:
    merged, faults = merge(before, changes)
    assert not faults
    return diff_contents(before, merged)


def told(diff: Diff) -> list[tuple[str, str, str]]:
    return [(c.kind, c.verb, c.label) for c in diff.changes]


def test_nothing_changed() -> None:
    diff = diff_contents(content(), content())
    assert not diff
    assert diff.summary == "nothing changed"


def test_prompts_fields_and_settings_are_counted() -> None:
    before = content(topic={"type": "string"})
    diff = changed(
        before,
        analysis={
            "instructions": "Be brief.",
            "built_ins": {"call_summary": {"prompt": "Five words."}},
            "schema": {"type": "object", "properties": {"topic": {"type": "boolean"}}},
        },
    )
    assert diff.summary == "2 prompts and 1 field changed"
    assert told(diff) == [
        ("prompt", "added", "Analysis prompt"),
        ("prompt", "changed", "Call summary"),
        ("field", "changed", "topic"),
    ]


def test_all_kinds_together() -> None:
    diff = changed(
        content(),
        analysis={"model": "n", "instructions": "x"},
        post_analysis={"enabled": False, "sample_percent": 12.5},
    )
    assert diff.summary == "the model, 1 prompt and 2 settings changed"
    assert len(diff) == 4
    assert diff.changes[0].is_short


def test_fields_added_removed_changed_and_moved() -> None:
    before = content(a={"type": "string"}, b={"type": "string"}, c={"type": "string"})
    after = content(
        c={"type": "string"},
        a={"type": "string", "required": True, "x-condition": "If asked."},
        d={"type": "string", "enum": ["x", "y"]},
    )
    diff = diff_contents(before, after)
    assert told(diff) == [
        ("field", "changed", "a"),
        ("field", "added", "d"),
        ("field", "removed", "b"),
        ("field", "moved", "c"),
    ]
    assert diff.changes[0].after == "Type: Text\nRequired\nCondition: If asked."
    assert diff.changes[1].after == "Type: Selector\nChoice: x\nChoice: y"


def test_a_switch_is_a_setting() -> None:
    diff = changed(content(a={}), analysis={"built_ins": {"call_summary": {"required": True}}})
    [change] = diff.changes
    assert (change.label, change.before, change.after) == (
        "Call summary",
        "on, optional",
        "on, required",
    )


def test_configs_are_compared_like_drafts() -> None:
    before, after = content(a={"type": "string"}), content(a={"type": "integer"})
    assert diff_configs(before.document(), after.document()).summary == "1 field changed"


@given(st.permutations(list("abcdefg")))
def test_the_fewest_fields_are_said_to_have_moved(order: list[str]) -> None:
    before = content(**{name: {"type": "string"} for name in "abcdefg"})
    after = content(**{name: {"type": "string"} for name in order})
    moved = {c.label for c in diff_contents(before, after).changes}
    stayed = [name for name in order if name not in moved]
    assert stayed == sorted(stayed)
    assert bool(moved) == (order != sorted(order))


def test_fields_without_a_type_are_told_as_what_they_are() -> None:
    diff = changed(
        content(),
        analysis={
            "schema": {
                "properties": {
                    "summary": {},
                    "topic": {"enum": ["a"]},
                    "town": {"$ref": "#/$defs/town"},
                    "wishes": {"items": {"type": "string"}, "maxItems": 3},
                },
                "$defs": {"town": {"type": "string"}},
            }
        },
    )
    told_of = {c.label: c.after for c in diff.changes}
    assert told_of["summary"] == "Type: Text"
    assert told_of["topic"].startswith("Type: Selector")
    assert told_of["town"].startswith("Type: As defined")
    assert told_of["wishes"] == "Type: List\nItems at most: 3"

"""Two editors of one draft: a merge of three, over the service and on its own."""

import copy
import json
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from apps.agents import services
from apps.agents.content import content_of_save
from apps.agents.edit_merge import changes_on_top, merge_schemas, only_mine, same_schema
from apps.agents.models import Agent, ConfigSave
from apps.agents.services import DraftConflict, Stamp
from tests.factories.drafts import ADA, BEN, TOPIC, agent, draft, with_fields

Json = dict[str, Any]

#: Shrinking runs a failing example hundreds of times against the database.
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)

MOOD = {"type": "string", "description": "How they felt.", "minLength": 1}
TEXTS = ("", "One.", "Two.", "Three.\nFour.")
SCHEMA = ("analysis", "schema", "properties")
PARTS: dict[tuple[str, ...], tuple[Any, ...]] = {
    ("analysis", "instructions"): TEXTS,
    ("analysis", "built_ins", "call_summary", "prompt"): TEXTS[1:],
    ("analysis", "built_ins", "call_successful", "prompt"): TEXTS[1:],
    ("analysis", "built_ins", "call_successful", "required"): (True, False),
    ("columns", "outcome"): ("", "topic", "mood"),
    ("post_analysis", "min_seconds"): (0, 5, 60),
    (*SCHEMA, "topic", "description"): TEXTS,
    (*SCHEMA, "topic", "enum"): (["billing"], ["billing", "sales", "other"]),
    (*SCHEMA, "mood", "description"): TEXTS,
    (*SCHEMA, "mood", "minLength"): (1, 2),
}


def at(document: Json, path: tuple[str, ...]) -> Any:
    for name in path:
        document = document[name]
    return document


def put(document: Json, path: tuple[str, ...], value: Any) -> None:
    at(document, path[:-1])[path[-1]] = value


class Window:
    """The form of one editor: a document with its stamp, and what they typed into it."""

    def __init__(self, made: Agent, by: Any) -> None:
        self.made, self.by = made, by
        version = draft(made)
        self.show(services.draft_document(version), Stamp(version.number, version.save_count))

    def show(self, document: Json, stamp: Stamp) -> None:
        self.form, self.stamp = copy.deepcopy(document), stamp
        self.base = copy.deepcopy(document)
        self.typed: dict[tuple[str, ...], Any] = {}

    def edit(self, path: tuple[str, ...], value: Any) -> None:
        put(self.form, path, value)
        self.typed[path] = value
        if value == at(self.base, path):  # typed back: no edit
            del self.typed[path]

    def save(self, *, as_text: bool) -> dict[tuple[str, ...], Any] | None:
        """Save as the pages do. Returns what was typed, or None where the two were merged."""
        form = copy.deepcopy(self.form)
        if as_text:
            form["analysis"]["schema"] = json.dumps(form["analysis"]["schema"], indent=3)
        sent = {"agent": self.made, "form": form, "stamp": self.stamp, "by": self.by}
        try:
            saved = services.save_form(**sent)
        except DraftConflict:
            merged = services.merge_form(**sent)
            typed = self.typed
            self.show(services.draft_document(draft(self.made)), merged.stamp)
            for path, value in typed.items():
                self.edit(path, value)
            assert merged.content.as_draft() == self.form
            return None
        typed = self.typed
        stamp = Stamp(saved.version.number, saved.version.save_count)
        self.show(services.draft_document(saved.version), stamp)
        return typed


steps = st.lists(
    st.tuples(
        st.sampled_from([0, 1]),
        st.one_of(
            st.sampled_from(list(PARTS)).flatmap(
                lambda path: st.tuples(st.just(path), st.sampled_from(PARTS[path]))
            ),
            st.sampled_from(["save", "save as text", "publish"]),
        ),
    ),
    min_size=3,
    max_size=14,
)


@pytest.mark.django_db
@settings(max_examples=12, deadline=None, phases=NO_SHRINKING)
@given(steps)
def test_no_prompt_is_lost_and_no_edit_is_somebody_elses(steps: list[tuple[int, Any]]) -> None:
    made = agent(**with_fields(topic=dict(TOPIC), mood=dict(MOOD)))
    truth = services.draft_document(draft(made))
    windows = [Window(made, ADA), Window(made, BEN)]
    # In the end each saves twice: once to see the other's, once to put theirs on top.
    for who, step in [*steps, *[(who, "save") for who in (0, 0, 1, 1)]]:
        if step == "publish":
            _publish(made)
        elif isinstance(step, tuple):
            windows[who].edit(*step)
        else:
            before = ConfigSave.objects.filter(agent_version__agent=made).latest("pk")
            typed = windows[who].save(as_text=step == "save as text")
            for path, value in (typed or {}).items():
                put(truth, path, value)
            _check(made, before, windows[who].by.label, truth, set(typed or ()))
    assert not any(window.typed for window in windows)


def _publish(made: Agent) -> None:
    try:
        services.publish(agent=made, by=ADA)
    except services.NothingToPublish:
        return


def _check(made: Agent, before: ConfigSave, by: str, truth: Json, typed: set[Any]) -> None:
    now = services.draft_document(draft(made))
    assert now == truth
    after = ConfigSave.objects.filter(agent_version__agent=made).latest("pk")
    was, became = (content_of_save(save, made.channel).as_draft() for save in (before, after))
    changed = {path for path in PARTS if at(was, path) != at(became, path)}
    assert changed <= typed
    assert after == before or after.by == by


# ---- Schemas

A, B, C = ({"type": "string", "description": name} for name in "abc")


def schema(required: tuple[str, ...] = (), **fields: Json) -> Json:
    return {"type": "object", "properties": fields, "required": list(required)}


MERGES = {
    "each added one": (
        schema(a=A), schema(a=A, b=B), schema(a=A, c=C), schema(a=A, b=B, c=C),
    ),
    "one added in front, the other at the end": (
        schema(a=A), schema(b=B, a=A), schema(a=A, c=C), schema(b=B, a=A, c=C),
    ),
    "both edited another keyword of one field": (
        schema(a=A), schema(a={**A, "enum": ["x"]}), schema(a={**A, "description": "new"}),
        schema(a={**A, "description": "new", "enum": ["x"]}),
    ),
    "both edited the same keyword": (
        schema(a=A), schema(a=B), schema(a=C), schema(a=B),
    ),
    "a type goes with what is said about it": (
        schema(a=A), schema(a={"type": "integer", "minimum": 1}), schema(a={**A, "enum": ["x"]}),
        schema(a={"type": "integer", "minimum": 1}),
    ),
    "I removed one, they edited another": (
        schema(a=A, b=B), schema(b=B), schema(a=A, b=C), schema(b=C),
    ),
    "they removed what I edited: mine on top": (
        schema(a=A, b=B), schema(a=C, b=B), schema(b=B), schema(a=C, b=B),
    ),
    "I moved, they added": (
        schema(a=A, b=B), schema(b=B, a=A), schema(a=A, c=C, b=B), schema(b=B, a=A, c=C),
    ),
    "they moved, I edited": (
        schema(a=A, b=B), schema(a=C, b=B), schema(b=B, a=A), schema(b=B, a=C),
    ),
    "each required one": (
        schema(a=A, b=B), schema(("a",), a=A, b=B), schema(("b",), a=A, b=B),
        schema(("b", "a"), a=A, b=B),
    ),
    "one removed what the other required": (
        schema(a=A, b=B), schema(b=B), schema(("a",), a=A, b=B), schema(b=B),
    ),
    "deeper": (
        schema(a={"type": "object", "properties": {"x": A, "y": B}}),
        schema(a={"type": "object", "properties": {"x": C, "y": B}}),
        schema(a={"type": "object", "properties": {"x": A, "y": B, "z": C}}),
        schema(a={"type": "object", "properties": {"x": C, "y": B, "z": C}}),
    ),
    "fields named as keywords are": (
        schema(properties=A, type=B),
        schema(properties=C, type=B),
        schema(properties=A, type=C),
        schema(properties=C, type=C),
    ),
    "true is not one": (
        {"properties": {"a": {"const": 1}}}, {"properties": {"a": {"const": True}}},
        {"properties": {"a": {"const": 1}}}, {"properties": {"a": {"const": True}}},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("base", "mine", "theirs", "merged"), MERGES.values(), ids=MERGES)
def test_two_schemas_are_merged(base: Json, mine: Json, theirs: Json, merged: Json) -> None:
    found = merge_schemas(base, mine, theirs)
    assert same_schema(found, merged), found


schemas = st.dictionaries(st.sampled_from("abcde"), st.sampled_from([A, B, C]), max_size=4).flatmap(
    lambda fields: st.builds(
        lambda order, required: schema(
            tuple(name for name in order if name in required), **{n: fields[n] for n in order}
        ),
        st.permutations(list(fields)),
        st.sets(st.sampled_from(sorted(fields))) if fields else st.just(set()),
    )
)


@given(schemas, schemas)
def test_who_edited_nothing_loses_nothing(base: Json, edited: Json) -> None:
    assert same_schema(merge_schemas(base, edited, base), edited)
    assert same_schema(merge_schemas(base, base, edited), edited)
    assert same_schema(merge_schemas(base, edited, edited), edited)


@given(schemas, schemas, schemas)
def test_a_merged_schema_holds_what_each_of_them_added(
    base: Json, mine: Json, theirs: Json
) -> None:
    merged = merge_schemas(base, mine, theirs)
    for edited in (mine, theirs):
        added = set(edited["properties"]) - set(base["properties"])
        assert added <= set(merged["properties"])
    assert set(merged.get("required", [])) <= set(merged["properties"])
    for name, value in mine["properties"].items():
        if value != base["properties"].get(name):
            assert merged["properties"][name] == value


def test_a_schema_that_is_no_json_is_handed_on() -> None:
    base = {"analysis": {"schema": schema(a=A)}}
    theirs = {"analysis": {"schema": schema(a=B)}}
    assert changes_on_top({"analysis": {"schema": "{"}}, base, theirs) == {
        "analysis": {"schema": "{"}
    }


@pytest.mark.django_db
def test_of_a_form_only_what_was_edited_is_a_change() -> None:
    base = services.draft_document(draft(agent()))
    form = json.loads(json.dumps(base))
    assert only_mine(form, base) == {}
    form["analysis"]["instructions"] = "Mine."
    form["analysis"]["schema"] = json.dumps(base["analysis"]["schema"], indent=4)
    form["columns"]["summary"] = ""
    assert only_mine(form, base) == {
        "analysis": {"instructions": "Mine."},
        "columns": {"summary": ""},
    }


def test_line_ends_of_a_browser_are_no_change() -> None:
    base = {"analysis": {"instructions": "a\nb"}}
    assert only_mine({"analysis": {"instructions": "a\r\nb"}}, base) == {}

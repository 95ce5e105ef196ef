"""Advice on fields and prompts: what is said, where, and what a mend does."""

import json
import time
from typing import Any

import pytest

from apps.agents.changes import merge
from apps.agents.content import Content, canonical_editor
from apps.agents.documents import default_columns
from apps.agents.draft_start import plan_start, template_source
from apps.agents.lint import Suggestion, lint
from apps.agents.lint.fields import listed_choices
from apps.agents.lint.names import is_summary, meaning
from apps.agents.lint.suggestions import TITLES
from apps.agents.templates import TEMPLATES, Template
from apps.llm.schema import problems

GOOD = "True if the customer asked for a person before the end of the call."


def content(schema: dict[str, Any] | None = None, **analysis: Any) -> Content:
    """A draft with these fields and, unless told otherwise, no built-in categories."""
    off = {n: {"enabled": False} for n in ("call_summary", "call_successful", "user_sentiment")}
    bare = Content("voice", canonical_editor("voice", {"model": "m"}))
    bare = Content("voice", bare.editor, columns=default_columns("voice", bare.document()))
    schema = schema or {"type": "object", "properties": {}}
    changes = {"analysis": {"built_ins": off, "schema": schema} | analysis}
    made, faults = merge(bare, changes)
    assert not [f for f in faults if "Add a field or turn on" not in f.message]
    return made


def fields(**properties: Any) -> dict[str, Any]:
    required = [n for n, value in properties.items() if value.pop("_required", False)]
    return {"type": "object", "properties": properties, "required": required}


def hints(schema: dict[str, Any], **analysis: Any) -> list[Suggestion]:
    """What is said, but for the history columns."""
    return [h for h in lint(content(schema, **analysis)) if h.code != "empty_column"]


def codes(schema: dict[str, Any], **analysis: Any) -> list[str]:
    return [hint.code for hint in hints(schema, **analysis)]


def text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


SAID = "What the customer wanted, in one plain sentence."


@pytest.mark.parametrize("channel", ["voice", "chat"])
@pytest.mark.parametrize("template", TEMPLATES, ids=lambda t: t.key)
def test_our_own_templates_are_as_we_advise(template: Template, channel: str) -> None:
    bare = Content(channel, canonical_editor(channel, {"model": "m"}))
    bare = Content(channel, bare.editor, columns=default_columns(channel, bare.document()))
    made, faults = merge(bare, plan_start(bare, template_source(template)).changes)
    assert (faults, lint(made)) == ([], [])


@pytest.mark.parametrize(
    ("name", "field", "code"),
    [
        ("wish", {"type": "string"}, "no_description"),
        ("wish", {"type": "string", "description": "  "}, "no_description"),
        ("customer_wish", text("The customer wish"), "thin_description"),
        ("wish", text("Their wish."), "thin_description"),
        ("wish", text("word " * 130), "long_description"),
        ("wish", text("What {{customer_name}} wanted from us."), "placeholder"),
        ("data", text(SAID), "vague_name"),
        ("field_1", text(SAID), "vague_name"),
        ("x", text(SAID), "vague_name"),
        ("wish", {"description": SAID}, "no_type"),
        ("plan", text("The plan, one of: gold, silver, or basic."), "text_for_choices"),
        ("topic", text("What it was all about."), "text_for_choices"),
        ("wants_person", text("Whether they asked for a person."), "text_for_yes_no"),
        ("is_customer", text("They have a contract with us."), "text_for_yes_no"),
        ("callback_needed", text("Somebody has to call back."), "text_for_yes_no"),
        ("steps", text("How many steps were tried."), "text_for_number"),
        ("nps_score", text("What they would give us."), "text_for_number"),
        ("not_happy", {"type": "boolean", "description": GOOD}, "negated"),
        ("effort_score", {"type": "integer", "description": SAID}, "no_range"),
        ("effort", {"type": "integer", "minimum": 1, "maximum": 5, "description": SAID},
         "unexplained_scale"),
        ("topic", {"enum": ["billing", "sales", "orders"], "description": SAID}, "no_other"),
        ("town", {"enum": [f"t{i}" for i in range(26)], "description": SAID}, "many_choices"),
        ("town", {"enum": ["Rome"], "description": SAID}, "few_choices"),
        ("town", {"enum": ["Rome", "rome "], "description": SAID}, "alike_choices"),
        ("wish", text(SAID, **{"x-condition": "if any", "_required": True}), "required_condition"),
        ("wishes", {"type": "array", "items": {"type": "string"}, "description": SAID},
         "unbounded_list"),
    ],
)  # fmt: skip
def test_one_field(name: str, field: dict[str, Any], code: str) -> None:
    schema = fields(**{name: field})
    [hint] = hints(schema)
    assert hint.code == code
    assert (hint.field, hint.pointer, hint.place) == (
        name, f"/properties/{name}", "analysis.schema",
    )  # fmt: skip
    assert hint.title in TITLES.values()
    assert hint.message.endswith(".")
    if hint.mend:  # it is followed: the hint is gone, and the schema as good as before
        mended = hint.mend.edit(schema)
        assert code not in codes(mended)
        assert problems(mended) == []
        assert mended != schema


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("wish", text(SAID)),
        ("order_number", text("The number of their order, as they read it out.")),
        ("mood", {"enum": ["calm", "angry", "sad"], "description": "How the customer sounded."}),
        ("topic", {"enum": ["a_thing", "b_thing", "something_other"], "description": SAID}),
        ("gift", text("The gift (for example gold, silver or basic) that they have.")),
        ("follow_up_notes", text("What is left to do, and for whom.")),
        ("born", {"type": "string", "format": "date", "description": "When they were born."}),
        ("wishes", {"type": "array", "items": {"enum": ["a", "b"]}, "description": SAID}),
        ("wishes", {"type": "array", "description": "At most three wishes of theirs."}),
        ("amount", {"type": "number", "description": "What they owe us at the end, in euros."}),
        ("score", {"type": "integer", "minimum": 0, "maximum": 10,
                   "description": "From 0 (no) to 10 (yes)."}),
        ("الموضوع", text("موضوع المكالمة كما قاله العميل")),
    ],
)  # fmt: skip
def test_nothing_is_said_about_what_is_good(name: str, field: dict[str, Any]) -> None:
    assert codes(fields(**{name: field})) == []


def test_what_mends_do() -> None:
    schema = fields(
        plan=text("The plan, one of: gold, silver, or basic.", examples=["gold"]),
        called_before=text("Whether they called before, yes or no.", minLength=2),
        effort_score=text("How hard it was, from 1 to 5."),
        calm_score={"type": "integer", "description": "How calm they were, 0-10."},
        wishes={"type": "array", "description": SAID},
    )
    for hint in hints(schema):
        if hint.mend:
            schema = hint.mend.edit(schema)
    made = schema["properties"]
    assert list(made) == ["plan", "called_before", "effort_score", "calm_score", "wishes"]
    assert made["plan"]["enum"] == ["gold", "silver", "basic"]
    assert made["called_before"]["type"] == "boolean"
    assert "minLength" not in made["called_before"]
    assert (made["effort_score"]["type"], made["effort_score"]["maximum"]) == ("integer", 5)
    assert (made["calm_score"]["minimum"], made["calm_score"]["maximum"]) == (0, 10)
    assert made["wishes"]["maxItems"] == 10


def test_a_required_condition_becomes_optional() -> None:
    schema = fields(
        inner={
            "type": "object",
            "description": "What they said about the order.",
            "properties": {"why": text(SAID, **{"x-condition": "if late"})},
            "required": ["why"],
        }
    )
    [hint] = hints(schema)
    assert (hint.code, hint.field) == ("required_condition", "inner.why")
    assert hint.mend
    assert hint.mend.edit(schema)["properties"]["inner"]["required"] == []
    assert schema["properties"]["inner"]["required"] == ["why"]  # the one before is untouched


def test_nested_fields_are_named_with_what_is_above_them() -> None:
    schema = fields(
        orders={
            "type": "array",
            "maxItems": 3,
            "description": "Each order that came up.",
            "items": {"type": "object", "properties": {"town~b/c": {"type": "string"}}},
        }
    )
    [hint] = hints(schema)
    assert (hint.field, hint.pointer) == (
        "orders.town~b/c", "/properties/orders/items/properties/town~0b~1c",
    )  # fmt: skip


def test_summaries_in_three_sizes() -> None:
    schema = fields(
        short_summary=text("One line about the call and its end."),
        detailed_summary=text("All that happened in the call, in order."),
        product_summary=text("What the product is that they called about."),
    )
    [hint] = hints(schema, built_ins={"call_summary": {"enabled": True},
                                      "call_successful": {"enabled": False},
                                      "user_sentiment": {"enabled": False}})  # fmt: skip
    assert (hint.code, hint.field) == ("summaries", "detailed_summary")
    assert hint.built_in == "call_summary"
    assert "“call_summary” and “short_summary” and “detailed_summary” are all" in hint.message


def test_names_that_say_the_same() -> None:
    schema = fields(
        is_resolved={"type": "boolean", "description": GOOD},
        issue_category={"enum": ["a", "b", "other"], "description": SAID},
        topic={"enum": ["a", "b", "other"], "description": SAID},
        follow_up_needed={"type": "boolean", "description": GOOD},
        needs_follow_up={"type": "boolean", "description": GOOD},
    )
    on = {"call_summary": {"enabled": False}, "user_sentiment": {"enabled": False},
          "call_successful": {"enabled": True}}  # fmt: skip
    found = hints(schema, built_ins=on)
    assert [(h.code, h.field, h.built_in) for h in found] == [
        ("same_meaning", "is_resolved", "call_successful"),
        ("same_meaning", "topic", ""),
        ("same_meaning", "needs_follow_up", ""),
    ]


def test_a_reason_stands_before_its_verdict() -> None:
    schema = fields(
        compliant={"type": "boolean", "description": GOOD},
        compliant_reason=text("Why it was or was not, in one sentence."),
    )
    [hint] = hints(schema)
    assert (hint.code, hint.field) == ("verdict_first", "compliant_reason")
    assert hint.mend
    assert hint.mend.label == "Move it before compliant"
    mended = hint.mend.edit(schema)
    assert list(mended["properties"]) == ["compliant_reason", "compliant"]
    assert codes(mended) == []
    # A detail that applies under a condition follows what decides about it.
    schema["properties"]["compliant_reason"]["x-condition"] = "it was not"
    assert codes(schema) == []


def test_too_many_and_all_required() -> None:
    many = fields(**{f"wish_{chr(97 + i)}": text(SAID) for i in range(21)})
    assert [c for c in codes(many) if c != "same_meaning"] == ["too_many_fields"]
    names = ["wish", "town", "order", "refund", "carrier", "address"]
    every = fields(**{name: text(SAID, _required=True) for name in names})
    assert codes(every) == ["all_required"]


def test_prompts_and_columns() -> None:
    made = content(
        fields(wish=text(SAID)),
        instructions="word " * 601 + "{{agent}}",
        built_ins={"call_summary": {"prompt": "Long. " * 151}, "user_sentiment": {"enabled": False},
                   "call_successful": {"enabled": False}},
    )  # fmt: skip
    assert [(h.code, h.place) for h in lint(made)] == [
        ("long_prompt", "analysis.instructions"),
        ("placeholder", "analysis.instructions"),
        ("long_prompt", "analysis.built_ins.call_summary.prompt"),
        ("empty_column", "columns.outcome"),
        ("empty_column", "columns.sentiment"),
    ]


@pytest.mark.parametrize(
    ("description", "choices"),
    [
        ("one of: a, b or c", ["a", "b", "c"]),
        ("Either “hot” or “cold”.", ["hot", "cold"]),
        ("The tier (gold/silver/basic).", ["gold", "silver", "basic"]),
        ("The tier (gold or basic).", []),  # two words in brackets are rather an aside
        ("Anything (for example gold, silver, basic).", []),
        ("One of the things that they said about us, and why they said it, in full.", []),
        ("No list at all.", []),
    ],
)
def test_choices_that_a_description_lists(description: str, choices: list[str]) -> None:
    assert listed_choices(description) == choices


def test_what_names_mean() -> None:
    assert meaning("wasResolved") == meaning("resolution_status") == meaning("call_successful")
    assert meaning("customer_sentiment") == meaning("userMood")
    assert meaning("agent_sentiment") != meaning("user_sentiment")
    assert meaning("status") == frozenset({"status"})
    assert is_summary("one_line_summary")
    assert not is_summary("product_summary")


def test_advice_on_a_huge_schema_takes_a_moment_only() -> None:
    huge = fields(**{f"field_{i}": {"type": "string"} for i in range(5_000)})
    made = content(huge)
    started = time.process_time()
    assert len(lint(made)) > 5_000
    assert time.process_time() - started < 30
    hostile = fields(wish=text("one of " * 20_000 + "(" * 20_000 + "1 to " * 20_000))
    started = time.process_time()
    assert hints(hostile)
    assert time.process_time() - started < 30
    assert json.dumps(huge)  # untouched

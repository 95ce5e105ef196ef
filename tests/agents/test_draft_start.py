"""Starting from a template or from another agent's fields."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from apps.agents import services
from apps.agents.builder import rows_of, schema_of
from apps.agents.content import Content, content_of
from apps.agents.draft_start import agent_source, plan_start, template_source
from apps.agents.models import Agent
from apps.agents.templates import BY_KEY, TEMPLATES, Template
from apps.core.errors import NotFound
from apps.llm.schema import compile_strict, problems
from tests.factories.drafts import ADA, TOPIC, agent, draft, language_model, with_fields
from tests.fakes import strict_rules

pytestmark = pytest.mark.django_db

#: The lists of the product's document: names, choices and bounds as promised there.
PROMISED: dict[str, dict[str, Any]] = {
    "customer_support": {
        "summary": "string",
        "issue_category": [
            "account_access", "billing", "product_bug", "feature_request", "how_to", "other",
        ],
        "resolution_status": ["resolved", "escalated", "pending", "unresolved"],
        "customer_effort_score": (1, 5),
        "escalation_reason": "string",
    },
    "support_short": {
        "summary": "string",
        "topic": ["billing", "technical_support", "sales", "general", "complaint"],
        "resolved": "boolean",
        "sentiment": ["positive", "neutral", "negative"],
        "follow_up_needed": "boolean",
        "follow_up_notes": "string",
    },
    "sales_qualification": {
        "lead_quality": ["hot", "warm", "cold", "unqualified"],
        "budget_mentioned": "boolean",
        "budget_range": "string",
        "timeline": "string",
        "decision_maker": "boolean",
        "competitor_mentioned": "array",
        "next_step": "string",
    },
    "quality_assurance": {
        "greeting_proper": "boolean",
        "identification_verified": "boolean",
        "accurate_information": "boolean",
        "professional_tone": "boolean",
        "closing_proper": "boolean",
        "compliance_issues": "array",
        "overall_score": (0, 100),
    },
}  # fmt: skip

each_template = pytest.mark.parametrize("template", TEMPLATES, ids=lambda t: t.key)


def says(schema: dict[str, Any]) -> object:
    if "enum" in schema:
        return schema["enum"]
    if schema["type"] == "integer":
        return (schema["minimum"], schema["maximum"])
    return schema["type"]


def content(made: Agent) -> Content:
    return content_of(draft(made))


@each_template
def test_a_template_has_what_was_promised(template: Template) -> None:
    assert {name: says(f) for name, f in template.fields.items()} == PROMISED[template.key]
    assert all(len(f["description"].split()) > 8 for f in template.fields.values())
    assert len(template.instructions.split()) > 50
    if template is BY_KEY["support_short"]:
        assert template.required == ("summary", "topic", "resolved", "sentiment")


@each_template
def test_a_template_is_usable_everywhere(template: Template) -> None:
    schema = template.schema()
    assert problems(json.dumps(schema)) == []
    Draft202012Validator.check_schema(schema)
    strict_rules.check(compile_strict(schema).schema)
    assert json.dumps(schema_of(rows_of(schema), base=schema)) == json.dumps(schema)


@pytest.mark.parametrize("channel", ["voice", "chat"])
@each_template
def test_a_new_agent_begins_with_it(template: Template, channel: str) -> None:
    made = services.create_agent(
        name="New", channel=channel, by=ADA, model=language_model(), start=template_source(template)
    )
    document = draft(made).config.parsed()
    assert document.own_fields() == template.fields
    assert document.instructions == (template.instructions,)
    said = "call" if channel == "voice" else "chat"
    all_on = {f"{said}_summary": "summary", f"{said}_successful": "outcome",
              "user_sentiment": "sentiment"}  # fmt: skip
    on = {b.name for b in document.built_ins}
    assert on == {n for n, column in all_on.items() if column not in template.columns}
    expected = {column: name for name, column in all_on.items()} | template.columns
    assert content(made).columns.as_dict() == expected
    assert draft(made).saves.get().note == f"created from {template.title}"


def test_merging_keeps_what_is_there() -> None:
    made = agent(**with_fields(topic=dict(TOPIC), plan={"type": "string", "required": True}))
    services.save_draft(agent=made, changes={"analysis": {"instructions": "Ours."}}, by=ADA)
    start = plan_start(content(made), services.source_of("support_short"))
    assert start.added == (
        "summary", "resolved", "sentiment", "follow_up_needed", "follow_up_notes",
    )  # fmt: skip
    assert (start.replaced, start.kept, start.removed) == (("topic",), ("plan",), ())
    assert list(start.switched_off) == [
        "call_summary", "call_successful", "user_sentiment",
    ]  # fmt: skip
    result = services.start_from(agent=made, source=start.source, by=ADA)
    document = draft(made).config.parsed()
    assert list(document.own_fields())[:3] == ["topic", "plan", "summary"]
    assert document.required_names() == ("plan", "summary", "topic", "resolved", "sentiment")
    assert document.instructions[0].startswith("Ours.\n\nJudge each conversation")
    assert document.built_ins == ()
    # Once more changes nothing: neither fields nor the prompt come twice.
    assert not services.start_from(agent=made, source=start.source, by=ADA).changed
    assert result.save
    before = services.save_before(result.save)
    assert before
    services.restore_save(agent=made, save_id=before.pk, by=ADA)
    assert list(draft(made).config.parsed().own_fields()) == ["topic", "plan"]
    assert len(draft(made).config.parsed().built_ins) == 3


def test_replacing_switches_on_again_what_nothing_stands_in_for() -> None:
    made = agent()
    services.start_from(agent=made, source=services.source_of("support_short"), by=ADA)
    source = services.source_of("quality_assurance")
    start = plan_start(content(made), source, how="replace")
    assert start.removed == tuple(PROMISED["support_short"])
    assert start.prompt == "replaced"
    assert list(start.switched_on) == [
        "call_summary", "call_successful", "user_sentiment",
    ]  # fmt: skip
    services.start_from(agent=made, source=source, how="replace", by=ADA)
    assert list(draft(made).config.parsed().own_fields()) == list(PROMISED["quality_assurance"])
    assert content(made).columns.as_dict() == {
        "summary": "call_summary", "outcome": "call_successful", "sentiment": "user_sentiment",
    }  # fmt: skip


def test_the_prompt_can_stay_behind() -> None:
    made = agent()
    source = services.source_of("customer_support")
    services.start_from(agent=made, source=source, with_prompt=False, by=ADA)
    assert draft(made).config.parsed().instructions == ()


def test_fields_of_an_agent_of_the_other_channel() -> None:
    other = agent("Chat line", channel="chat")
    services.start_from(agent=other, source=services.source_of("support_short"), by=ADA)
    made = agent()
    source = services.source_of(other.public_id)
    assert source.columns == {"summary": "summary", "outcome": "resolved", "sentiment": "sentiment"}
    services.start_from(agent=made, source=source, by=ADA)
    assert draft(made).config.parsed().own_fields() == BY_KEY["support_short"].fields
    assert draft(made).config.parsed().built_ins == ()
    assert content(made).columns.summary == "summary"


def test_definitions_of_two_agents_are_kept_apart() -> None:
    def nested(kind: str) -> dict[str, Any]:
        properties = {f"a_{kind}": {"$ref": "#/$defs/part"}}
        return {"type": "object", "properties": properties, "$defs": {"part": {"type": kind}}}

    made = agent(analysis={"schema": nested("string")})
    other = agent("Other", analysis={"schema": nested("number")})
    services.start_from(agent=made, source=services.source_of(other.public_id), by=ADA)
    schema = draft(made).config.parsed().schema
    assert schema["properties"]["a_string"] == {"$ref": "#/$defs/part"}
    assert schema["properties"]["a_number"] == {"$ref": "#/$defs/part_"}
    assert schema["$defs"] == {"part": {"type": "string"}, "part_": {"type": "number"}}


def test_a_field_that_is_a_built_in_of_this_channel_is_refused() -> None:
    other = agent("Chat line", channel="chat", **with_fields(call_summary={"type": "string"}))
    source = services.source_of(other.public_id)
    with pytest.raises(services.InvalidDraft, match="call_summary"):
        services.start_from(agent=agent(), source=source, by=ADA)
    with pytest.raises(services.InvalidDraft, match="call_summary"):
        services.create_agent(
            name="x", channel="voice", by=ADA, model=language_model(), start=source
        )


def test_somebody_else_saved_meanwhile() -> None:
    made = agent()
    services.save_draft(agent=made, changes={"analysis": {"instructions": "Ben's."}}, by=ADA)
    source = services.source_of("customer_support")
    with pytest.raises(services.DraftConflict):
        services.start_from(agent=made, source=source, by=ADA, expected=services.Stamp(0, 1))
    assert draft(made).config.parsed().own_fields() == {}


def test_what_there_is_not() -> None:
    with pytest.raises(NotFound, match=r"“nonsense”; there are customer_support, support_short"):
        services.source_of("nonsense")


def test_a_built_in_that_is_on_does_not_come_along() -> None:
    made = agent(**with_fields(topic=dict(TOPIC)))
    assert agent_source("k", "t", content(made)).columns == {}

"""Derived fields: what a definition says, and the values that follow."""

import itertools
from typing import Any

import pytest

from apps.accounts.models import AuditEntry
from apps.agents.models import DerivedField
from apps.conversations.derived.definitions import InvalidDerivedField, definition_of, document_of
from apps.conversations.derived.evaluation import ResultFacts, definitions, derive
from apps.conversations.derived.services import (
    DerivedFieldChanged,
    delete_derived_field,
    revision_of,
    save_derived_field,
)
from apps.conversations.filters import ConversationFields, RuleFields, matching
from tests.factories import make_derived_field, make_draft, make_indexed_conversation
from tests.factories.derived import PROPERTIES, SCORECARD

pytestmark = pytest.mark.django_db

RULE = {"field": "score", "op": "lt", "value": 70}


def scored(version: Any, **values: Any) -> dict[str, Any]:
    """The derived values of a call with this result."""
    made = make_indexed_conversation(version, analysis_data=values)
    facts = ResultFacts(made.pk, "voice", version.agent_id, tuple(PROPERTIES))
    return derive([facts], definitions()).get(made.pk, {})


def test_a_scorecard_adds_up_its_points() -> None:
    version = make_draft(properties=PROPERTIES)
    make_derived_field()
    for greeting, score, issues in itertools.product((True, False, None), (90, 10), ([], ["x"])):
        values = {"score": score, "issues": issues}
        if greeting is not None:
            values["greeting"] = greeting
        gained = (1 if greeting else 0) + (2 if score >= 70 else 0)
        percent = {0: 0, 1: 33, 2: 67, 3: 100}[gained]
        failed = [] if greeting else ["Greeting"]
        failed += [] if score >= 70 else ["Score"]
        failed += ["Compliance"] if issues else []
        assert scored(version, **values) == {
            "quality": percent,
            "quality_passed": percent >= 60 and not issues,
            "quality_failed": failed,
        }


def test_a_choice_is_its_first_case_that_matches() -> None:
    version = make_draft(properties=PROPERTIES)
    cases = [
        {"value": "good", "when": {"field": "score", "op": "gte", "value": 80}},
        {"value": "fair", "when": {"field": "score", "op": "gte", "value": 40}},
    ]
    make_derived_field("grade", kind="choice", definition={"cases": cases, "otherwise": "poor"})
    assert [scored(version, score=n)["grade"] for n in (90, 50, 10)] == ["good", "fair", "poor"]
    field = ConversationFields("voice").named("analysis.grade")
    assert field is not None
    assert [value for value, _ in field.choices] == ["good", "fair", "poor"]
    assert field.group == "Derived fields"


def test_a_yes_no_is_its_rule_and_reads_facts_of_the_conversation() -> None:
    version = make_draft(properties=PROPERTIES)
    rule = {"all": [RULE, {"field": "duration_ms", "op": "gte", "value": 60_000}]}
    make_derived_field("bad_and_long", kind="boolean", definition={"rule": rule})
    for score, duration, expected in ((10, 90_000, True), (10, 1_000, False), (90, 90_000, False)):
        made = make_indexed_conversation(
            version, analysis_data={"score": score}, duration_ms=duration
        )
        facts = ResultFacts(made.pk, "voice", version.agent_id, ("score",))
        assert derive([facts], definitions()) == {made.pk: {"bad_and_long": expected}}


def test_it_applies_to_results_that_have_one_of_its_fields() -> None:
    version = make_draft(properties=PROPERTIES)
    other = make_draft(properties={"topic": {"type": "string"}})
    make_derived_field()
    found = definitions()[0]
    assert found.applies(channel="voice", agent_id=version.agent_id, asked=["score"])
    assert not found.applies(channel="voice", agent_id=other.agent_id, asked=["topic"])
    assert not found.applies(channel="chat", agent_id=version.agent_id, asked=["score"])
    assert not found.applies(
        channel="voice", agent_id=version.agent_id, asked=["score", "quality"]
    ), "the agent's own field"


def test_all_fields_of_many_conversations_are_one_query(
    django_assert_num_queries: Any,
) -> None:
    version = make_draft(properties=PROPERTIES)
    make_derived_field()
    make_derived_field("low", kind="boolean", definition={"rule": RULE})
    made = [make_indexed_conversation(version, analysis_data={"score": n}) for n in range(10)]
    facts = [ResultFacts(one.pk, "voice", version.agent_id, ("score",)) for one in made]
    wanted = definitions()
    with django_assert_num_queries(1):
        assert len(derive(facts, wanted)) == 10


def test_values_are_filtered_like_any_field() -> None:
    version = make_draft(properties=PROPERTIES)
    make_derived_field()
    low = make_indexed_conversation(version, analysis_data={"quality": 20, "quality_passed": False})
    make_indexed_conversation(version, analysis_data={"quality": 80, "quality_passed": True})
    for params in (
        {"analysis.quality__lt": ["50"]},
        {"analysis.quality_passed": ["false"]},
    ):
        assert list(matching(channel="voice", params=params)) == [low]


def test_a_definition_is_stored_in_normal_form() -> None:
    make_draft(properties=PROPERTIES)
    field = make_derived_field()
    again = definition_of(field, RuleFields("voice", derived=False))
    assert document_of(again) == field.definition
    assert field.definition["scorecard"]["points"][0]["when"] == {
        "field": "analysis.greeting",
        "op": "",
        "value": True,
    }


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"name": "Quality!"}, "name"),
        ({"name": "score"}, "name"),
        ({"label": ""}, "label"),
        ({"kind": "text"}, "type"),
        ({"channel": "mail"}, "channel"),
        ({"definition": None}, "definition"),
        ({"definition": {}}, "scorecard"),
        ({"definition": {**SCORECARD, "rule": RULE}}, "rule"),
        ({"kind": "boolean", "definition": {"rule": {"field": "colour", "value": 1}}},
         "rule.field"),
        ({"kind": "choice", "definition": {"cases": []}}, "cases"),
        ({"kind": "choice", "definition": {"cases": [{"value": "", "when": RULE}]}},
         "cases[0].value"),
        ({"definition": {"scorecard": {"points": [{"label": "x", "when": RULE, "points": 0}],
                                       "pass_mark": 5}}}, "scorecard.points[0].points"),
        ({"definition": {"scorecard": {"points": [{"label": "x", "when": RULE, "points": 1}],
                                       "pass_mark": 101}}}, "scorecard.pass_mark"),
        ({"definition": {"scorecard": {"points": [{"label": "x", "when": RULE, "points": True}],
                                       "pass_mark": 5}}}, "scorecard.points[0].points"),
    ],
)  # fmt: skip
def test_what_can_not_be_computed_is_rejected_at_its_place(
    values: dict[str, Any], path: str
) -> None:
    make_draft(properties=PROPERTIES)
    with pytest.raises(InvalidDerivedField) as caught:
        make_derived_field(**values)
    assert list(caught.value.fields) == [path]
    assert not DerivedField.objects.exists()


def test_a_derived_field_does_not_read_another() -> None:
    make_draft(properties=PROPERTIES)
    make_derived_field()
    rule = {"field": "quality", "op": "lt", "value": 50}
    with pytest.raises(InvalidDerivedField, match="no field"):
        make_derived_field("worse", kind="boolean", definition={"rule": rule})


def test_two_editors_do_not_overwrite_each_other() -> None:
    make_draft(properties=PROPERTIES)
    seen = revision_of(make_derived_field())
    first = make_derived_field(label="First", seen=seen)
    with pytest.raises(DerivedFieldChanged):
        make_derived_field(label="Second", seen=seen)
    assert DerivedField.objects.get().label == "First"
    delete_derived_field(field=first, by=_by())
    with pytest.raises(DerivedFieldChanged):
        make_derived_field(label="Third", seen=revision_of(first))
    verbs = list(AuditEntry.objects.order_by("pk").values_list("verb", flat=True))
    assert verbs == ["derived_field.created", "derived_field.changed", "derived_field.deleted"]


def test_a_field_that_disappeared_leaves_the_others_alone(caplog: Any) -> None:
    version = make_draft(properties=PROPERTIES)
    make_derived_field()
    DerivedField.objects.update(definition={"scorecard": {"points": [], "pass_mark": 1}})
    make_derived_field("low", kind="boolean", definition={"rule": RULE})
    assert scored(version, score=10) == {"low": True}
    assert "quality can't be computed" in caplog.text


def _by() -> Any:
    from apps.accounts.actors import Actor

    return Actor.system("tests")


def test_the_same_name_again_changes_the_field() -> None:
    make_draft(properties=PROPERTIES)
    make_derived_field()
    save_derived_field(
        name="quality", label="Low", kind="boolean", channel="voice", agent=None,
        definition={"rule": RULE}, by=_by(),
    )  # fmt: skip
    assert DerivedField.objects.get().type == "boolean"

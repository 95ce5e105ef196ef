"""OR groups of filters, and rules: the same conditions, nested."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from django.http import QueryDict
from django.test import Client
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.accounts.models import User
from apps.conversations.filters import (
    ConversationFields,
    FilterError,
    RuleFields,
    editor,
    labels,
    matching,
    params_of_rule,
    parse,
    read_rule,
    rule_of_params,
)
from apps.conversations.models import Conversation
from tests.factories import make_draft, make_indexed_conversation

pytestmark = pytest.mark.django_db

Facts = dict[str, Any]
TOPICS = ("billing", "sales", "")
SCORES = (None, 50, 90)
DURATIONS = (10_000, 90_000)


@pytest.fixture
def facts() -> dict[int, Facts]:
    """Make one call for each combination of facts; return the facts by primary key."""
    version = make_draft(
        properties={
            "topic": {"type": "string", "enum": ["billing", "sales"]},
            "score": {"type": "integer"},
            "issues": {"type": "array", "items": {"type": "string"}},
        }
    )
    found = {}
    for topic, score, duration in itertools.product(TOPICS, SCORES, DURATIONS):
        result: Facts = {"issues": ["late"] if score == 90 else []}
        if topic:
            result["topic"] = topic
        if score is not None:
            result["score"] = score
        made = make_indexed_conversation(version, analysis_data=result, duration_ms=duration)
        found[made.pk] = {**result, "duration_ms": duration}
    return found


def keys_of(params: dict[str, list[str]]) -> set[int]:
    return set(matching(channel="voice", params=params).values_list("pk", flat=True))


def counted(facts: dict[int, Facts], test: Callable[[Facts], bool]) -> set[int]:
    return {key for key, fact in facts.items() if test(fact)}


def test_of_a_group_any_has_to_match_and_of_the_rest_all(facts: dict[int, Facts]) -> None:
    params = {
        "any1.analysis.topic": ["billing"],
        "duration_ms__gte": ["60000"],
        "any1.analysis.score__lt": ["60"],
    }
    assert keys_of(params) == counted(
        facts,
        lambda fact: (
            fact["duration_ms"] >= 60_000
            and (fact.get("topic") == "billing" or fact.get("score", 100) < 60)
        ),
    )


def test_groups_are_independent(facts: dict[int, Facts]) -> None:
    params = {
        "any1.analysis.topic": ["billing"],
        "any1.analysis.score__isset": ["false"],
        "any2.duration_ms__lt": ["60000"],
        "any2.analysis.issues__isset": ["true"],
    }
    assert keys_of(params) == counted(
        facts,
        lambda fact: (
            (fact.get("topic") == "billing" or "score" not in fact)
            and (fact["duration_ms"] < 60_000 or bool(fact["issues"]))
        ),
    )


@pytest.mark.parametrize("name", ["any0.status", "any10.status", "any.status", "any1.", "any1"])
def test_an_unknown_group_is_never_all_rows(name: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse("voice", {name: ["ended"]})
    assert list(caught.value.errors) == [name]


def test_an_error_stands_at_its_parameter() -> None:
    with pytest.raises(FilterError) as caught:
        parse("voice", {"any1.duration_ms__gte": ["soon"], "any1.status": ["ended"]})
    assert list(caught.value.errors) == ["any1.duration_ms__gte"]


def test_rows_of_a_group_stand_together() -> None:
    form = QueryDict(
        "row-0-field=status&row-0-any=any1&row-0-value=ended"
        "&row-1-field=direction&row-1-value=inbound"
        "&row-2-field=duration_ms&row-2-any=any1&row-2-op=gte&row-2-value=60"
    )
    params = dict(editor.params_of(form).lists())
    assert params == {
        "any1.status": ["ended"],
        "direction": ["inbound"],
        "any1.duration_ms__gte": ["60000"],
    }
    rows = editor.rows_of(ConversationFields("voice"), params)
    assert [(row.field and row.field.name, row.group) for row in rows] == [
        ("status", "any1"),
        ("duration_ms", "any1"),
        ("direction", ""),
    ]
    chips = labels.chips(parse("voice", params))
    assert [(chip.label, chip.joined) for chip in chips] == [
        ("Status", False),
        ("Duration", True),
        ("Direction", False),
    ]


def test_several_editors_of_a_form_are_read_apart() -> None:
    form = QueryDict(
        "a-row-0-field=status&a-row-0-value=ended&b-row-0-field=status&b-row-0-value=error&name=x"
    )
    assert dict(editor.params_of(editor.part_of(form, "a-")).lists()) == {"status": ["ended"]}
    assert dict(editor.params_of(editor.part_of(form, "b-")).lists()) == {"status": ["error"]}


def test_a_row_with_a_prefix_is_drawn_again_with_it(client: Client) -> None:
    url = reverse("conversations:filter_row")
    client.force_login(User.objects.create_user("vera", password="x", role="viewer"))
    page = client.get(
        f"{url}?channel=&rule=1&prefix=a-&n=3&a-row-3-field=duration_ms&a-row-3-any=any2"
    ).content.decode()
    assert 'name="a-row-3-op"' in page
    assert 'name="a-row-3-any" value="any2"' in " ".join(page.split())


ALERT = {
    "any": [
        {"field": "score", "op": "lt", "value": 70},
        {"field": "issues", "op": "isset", "value": True},
        {"all": [{"field": "topic", "op": "is", "value": ["sales", "billing"]},
                 {"field": "duration_ms", "op": "gt", "value": 60_000}]},
    ]
}  # fmt: skip


def test_a_rule_is_evaluated_by_the_database(facts: dict[int, Facts]) -> None:
    rule = read_rule(ALERT, source=RuleFields("voice"))
    found = set(Conversation.objects.filter(rule.q).values_list("pk", flat=True))
    assert found == counted(
        facts,
        lambda fact: (
            fact.get("score", 100) < 70
            or bool(fact["issues"])
            or (bool(fact.get("topic")) and fact["duration_ms"] > 60_000)
        ),
    )
    assert rule.fields == {"analysis.score", "analysis.issues", "analysis.topic", "duration_ms"}
    assert rule.text == (
        "score < 70 or issues is set or (topic is any of sales, billing and Duration > 1:00)"
    )


def test_rows_become_a_rule_and_rows_again(facts: dict[int, Facts]) -> None:
    source = RuleFields("voice")
    params = {
        "any1.analysis.topic": ["billing", "sales"],
        "any1.analysis.score__between": ["10,60.5"],
        "duration_ms__gte": ["60000"],
        "any2.analysis.issues__contains": ["late"],
        "any2.analysis.score__isset": ["false"],
    }
    document = rule_of_params(params, source=source)
    rule = read_rule(document, source=source)
    assert rule.document == document
    again = params_of_rule(rule.document)
    assert again is not None
    assert dict(again.lists()) == params
    assert set(Conversation.objects.filter(rule.q).values_list("pk", flat=True)) == keys_of(params)


def test_a_rule_that_rows_can_not_show_has_no_parameters() -> None:
    make_draft(
        properties={
            "topic": {"type": "string"},
            "score": {"type": "integer"},
            "issues": {"type": "array", "items": {"type": "string"}},
        }
    )
    assert params_of_rule(read_rule(ALERT, source=RuleFields("voice")).document) is None


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (None, "when"),
        ({}, "when.field"),
        ([], "when"),
        ({"any": []}, "when.any"),
        ({"any": {}}, "when.any"),
        ({"any": [1]}, "when.any[0]"),
        ({"any": [], "all": []}, "when.any"),
        ({"field": "colour", "value": 1}, "when.field"),
        ({"field": ["status"], "value": 1}, "when.field"),
        ({"field": "id", "value": "conv_1"}, "when.field"),
        ({"field": "status", "op": "like", "value": "x"}, "when.op"),
        ({"field": "status", "op": "gt", "value": "x"}, "when.op"),
        ({"field": "status", "op": ["gt"], "value": "x"}, "when.op"),
        ({"field": "status"}, "when.value"),
        ({"field": "status", "value": {}}, "when.value"),
        ({"field": "status", "value": []}, "when.value"),
        ({"field": "status", "value": [["ended"]]}, "when.value"),
        ({"field": "status", "value": "gone"}, "when.value"),
        ({"field": "status", "value": "ended", "then": 1}, "when.then"),
        ({"all": [{"any": [{"field": "duration_ms", "op": "gt", "value": "x"}]}]},
         "when.all[0].any[0].value"),
        ({"any": [{"field": "status", "value": "ended"}] * 51}, "when"),
    ],
)  # fmt: skip
def test_a_wrong_rule_is_rejected_at_its_path(document: object, path: str) -> None:
    with pytest.raises(FilterError) as caught:
        read_rule(document, source=RuleFields("voice"))
    assert list(caught.value.errors) == [path]


def test_a_rule_is_not_nested_without_end() -> None:
    document: dict[str, Any] = {"field": "status", "value": "ended"}
    for _ in range(1_000):
        document = {"any": [document]}
    with pytest.raises(FilterError, match="nested 5 deep"):
        read_rule(document, source=RuleFields(None))


_SCORES = st.integers(0, 3)
_TOPICS = st.sampled_from(["billing", "sales"])
_CONDITIONS = st.one_of(
    st.tuples(st.sampled_from(["", "__ne", "__lt", "__gte"]), _SCORES).map(
        lambda drawn: (f"analysis.score{drawn[0]}", str(drawn[1]))
    ),
    st.tuples(st.sampled_from(["", "__ne"]), _TOPICS).map(
        lambda drawn: (f"analysis.topic{drawn[0]}", drawn[1])
    ),
    st.sampled_from(["true", "false"]).map(lambda value: ("analysis.score__isset", value)),
)
_PARAMS = st.lists(
    st.tuples(st.sampled_from(["", "any1.", "any2."]), _CONDITIONS), min_size=1, max_size=6
).map(lambda found: {f"{group}{name}": [value] for group, (name, value) in found})
_RESULTS = st.lists(
    st.fixed_dictionaries({}, optional={"score": _SCORES, "topic": _TOPICS}), max_size=6
)


def _holds(name: str, value: str, fact: Facts) -> bool:
    """Say whether one condition is true of a result, in plain Python."""
    field, _, operator = name.removeprefix("analysis.").partition("__")
    found = fact.get(field)
    if operator == "isset":
        return (found is not None) == (value == "true")
    wanted = int(value) if field == "score" else value
    if operator in {"", "ne"}:
        return bool(found == wanted) != (operator == "ne")
    return found is not None and (found < wanted if operator == "lt" else found >= wanted)


def _matches(params: dict[str, list[str]], fact: Facts) -> bool:
    alone: list[bool] = []
    groups: dict[str, list[bool]] = {}
    for parameter, (value,) in params.items():
        head, _, rest = parameter.partition(".")
        if head.startswith("any"):
            groups.setdefault(head, []).append(_holds(rest, value, fact))
        else:
            alone.append(_holds(parameter, value, fact))
    return all(alone) and all(map(any, groups.values()))


@settings(max_examples=50, deadline=None)
@given(params=_PARAMS, results=_RESULTS)
def test_random_filters_and_rules_find_what_python_finds(
    params: dict[str, list[str]], results: list[Facts]
) -> None:
    version = make_draft(
        properties={
            "topic": {"type": "string", "enum": ["billing", "sales"]},
            "score": {"type": "integer"},
        }
    )
    made = {make_indexed_conversation(version, analysis_data=fact).pk: fact for fact in results}
    source = RuleFields("voice")
    rule = read_rule(rule_of_params(params, source=source), source=source)
    ruled = Conversation.objects.filter(rule.q, pk__in=made)
    expected = counted(made, lambda fact: _matches(params, fact))
    assert keys_of(params) & made.keys() == expected
    assert set(ruled.values_list("pk", flat=True)) == expected
    again = params_of_rule(rule.document)
    if again is not None:
        read = read_rule(rule_of_params(again, source=source), source=source)
        assert read.document == rule.document


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("any10.status", "Groups are any1 to any9."),
        ("any1", "The group any1 needs a field"),
        ("any1.q", "“q” can’t be in a group."),
        ("any1.any2.status", "can’t be in a group."),
    ],
)
def test_a_wrong_group_says_what_is_wrong(name: str, message: str) -> None:
    with pytest.raises(FilterError, match=message):
        parse("voice", {name: ["ended"]})

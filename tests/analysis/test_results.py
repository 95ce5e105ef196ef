"""What follows from a result: history columns, and what changed."""

from typing import Any

import pytest

from apps.analysis.results import changed_fields, history_columns

COLUMNS = {"summary": "summary", "outcome": "resolved", "sentiment": "sentiment"}


@pytest.mark.parametrize(
    ("verdict", "outcome", "successful"),
    [
        (True, "yes", True),
        (False, "no", False),
        (None, "", None),
        ("escalated", "escalated", None),
        ("success", "success", True),
        ("True", "True", True),
        ("resolved", "resolved", True),
        ("False", "False", False),
        ("not successful", "not successful", False),
        ({"solved": "yes"}, "solved: yes", None),
        (4, "4", None),
        (["a", "b"], "a, b", None),
        ({"state": "open", "tags": ["a", 2.0]}, "state: open; tags: a, 2", None),
        ([{"a": None, "b": True}, {}], "b: yes", None),
    ],
)
def test_outcome_is_a_word_and_its_meaning(
    verdict: Any, outcome: str, successful: bool | None
) -> None:
    shown = history_columns({"resolved": verdict}, COLUMNS, [])

    assert (shown.outcome, shown.successful) == (outcome, successful)


def test_a_required_field_that_stayed_empty_makes_it_unsuccessful() -> None:
    shown = history_columns({"resolved": True}, COLUMNS, ["topic"])

    assert shown.successful is False


@pytest.mark.parametrize(
    ("said", "shown"),
    [("positive", "Positive"), ("NEGATIVE", "Negative"), ("mixed", "mixed"), (None, "")],
)
def test_common_sentiments_have_one_spelling(said: str | None, shown: str) -> None:
    assert history_columns({"sentiment": said}, COLUMNS, []).sentiment == shown


def test_columns_that_nothing_feeds_are_empty() -> None:
    shown = history_columns({"a": 1}, {}, [])

    assert (shown.summary, shown.outcome, shown.successful, shown.sentiment) == ("", "", None, "")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": 1}, {"a": True}),
        ({"a": [1]}, {"a": [True]}),
        ({"a": {"b": 0}}, {"a": {"b": False}}),
        ({"a": ["x", "y"]}, {"a": ["y", "x"]}),
        ({"a": "x"}, {}),
        ({}, {"a": "x"}),
        ({"a": "x"}, {"a": ""}),
        ({"a": 0}, {}),
        ({}, {"a": False}),
    ],
)
def test_a_change_is_a_change(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert changed_fields(before, after) == ["a"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"a": 1}, {"a": 1.0}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2, "b": 1}}),
        ({"a": None}, {}),
        ({"a": ""}, {"a": None}),
        ({}, {"a": []}),
        (None, {}),
    ],
)
def test_the_same_in_other_words_is_none(
    before: dict[str, Any] | None, after: dict[str, Any]
) -> None:
    assert changed_fields(before, after) == []


def test_names_come_in_the_newer_order_then_what_is_gone() -> None:
    assert changed_fields({"gone": 1, "b": 1}, {"c": 2, "b": 2}) == ["c", "b", "gone"]

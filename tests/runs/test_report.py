"""The report of a run agrees with what a person counts."""

import json
import random
from collections import Counter
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.db import connection

from apps.analysis.imports import Imported, record_imported
from apps.analysis.models import Analysis
from apps.analysis.results import changed_fields
from apps.conversations.models import Conversation
from apps.runs.changes import ChangeFilter, InvalidChange, item_ids, read_change
from apps.runs.models import Run
from apps.runs.report import report_of
from apps.runs.report_page import panels
from tests.factories import make_agent, make_conversations
from tests.runs.completed import BY, backfill

pytestmark = [pytest.mark.django_db(transaction=True)]

SCHEMA = {
    "type": "object",
    "properties": {
        "resolved": {"type": "boolean"},
        "topic": {"type": "string", "enum": ["billing", "sales", "other"]},
        "score": {"type": "integer"},
        "issues": {"type": "array", "items": {"type": "string"}},
        "notes": {"type": "string"},
    },
}


def ended(before: list[dict[str, Any] | None], after: list[dict[str, Any] | str]) -> Run:
    """A backfill with these results before, newest conversation first, and after."""
    make_conversations(make_agent(schema=SCHEMA), len(before))
    found = list(Conversation.objects.order_by("-sort_at", "-pk"))
    record_imported(
        [
            Imported(conversation, values)
            for conversation, values in zip(found, before, strict=True)
            if values is not None
        ],
        by=BY,
    )
    return backfill(after)


def of(run: Run, name: str) -> dict[str, Any]:
    """The report of one field."""
    return next(one for one in report_of(run) if one.name == name).as_dict()


def matches(run: Run, **params: str) -> int:
    """How many items a link opens."""
    change = read_change(params)
    assert change is not None
    sql, values = item_ids(run.pk, run.public_id, change)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM ({sql}) AS s", values)
        return int(cursor.fetchone()[0])


def test_flips_are_counted_like_a_hand_made_query() -> None:
    before: list[dict[str, Any] | None] = [
        {"resolved": n < 6, "topic": "billing"} for n in range(8)
    ]
    run = ended(
        [*before, None],
        [*({"resolved": n % 2 == 0, "topic": "sales"} for n in range(8)), {"resolved": True}],
    )

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT p.output ->> 'resolved', a.output ->> 'resolved', count(*)"
            " FROM analysis_analysis a JOIN runs_runitem i ON i.analysis_id = a.id"
            " LEFT JOIN analysis_analysis p ON p.id = i.previous_analysis_id"
            " WHERE p.output ->> 'resolved' IS DISTINCT FROM a.output ->> 'resolved'"
            " GROUP BY 1, 2"
        )
        flips = {(b, a): n for b, a, n in cursor.fetchall()}

    resolved = of(run, "resolved")
    names = {True: "true", False: "false", None: None}
    assert (
        {(names[t["from"]], names[t["to"]]): t["count"] for t in resolved["transitions"]}
        == flips
        == {("true", "false"): 3, ("false", "true"): 1, (None, "true"): 1}
    )
    assert (resolved["changed"], resolved["unchanged"]) == (5, 4)
    assert resolved["before"] == {"true": 6, "false": 2, "null": 1}
    assert resolved["after"] == {"true": 5, "false": 4}
    assert matches(run, changed="resolved", **{"from": "true", "to": "false"}) == 3
    assert matches(run, changed="resolved", **{"from": "null"}) == 1
    assert matches(run, unchanged="resolved") == 4
    assert matches(run, value="resolved", to="false") == 4
    topic = of(run, "topic")
    assert topic["transitions"][0] == {"from": "billing", "to": "sales", "count": 8}
    assert matches(run, changed="topic", to="sales") == 8


def test_what_counts_as_changed_is_what_recording_says() -> None:
    chance = random.Random(5)
    values: dict[str, list[Any]] = {
        "resolved": [True, False, None, 1],
        "topic": ["billing", "sales", "", None, "true"],
        "score": [1, 1.0, 2, True, None],
        "issues": [[], ["a"], ["a", "b"], ["b", "a"], None, [1], [True]],
        "notes": ["", None, "One.", "Two."],
    }

    def one() -> dict[str, Any]:
        return {n: chance.choice(v) for n, v in values.items() if chance.random() < 0.9}

    before, after = [one() for _ in range(60)], [one() for _ in range(60)]
    run = ended(list(before), list(after))

    expected: Counter[str] = Counter()
    for old, new in zip(before, after, strict=True):
        expected.update(changed_fields(old, new))
    changed = {one.name: one.changed for one in report_of(run)}
    assert changed == {name: expected[name] for name in changed}
    assert changed.keys() >= values.keys()
    for one_field in report_of(run):
        assert matches(run, changed=one_field.name) == one_field.changed
        assert matches(run, unchanged=one_field.name) == one_field.unchanged
        for transition in one_field.transitions:
            change = one_field.link("changed", transition.before, transition.after)
            assert matches(run, **change.params()) == transition.count
            assert read_change(change.params()) == change


def test_numbers_lists_and_texts_have_distributions() -> None:
    run = ended(
        [{"score": n, "issues": ["late"], "notes": "A."} for n in (1, 2, 3, 4)],
        [
            {"score": 5, "issues": ["late", "rude"], "notes": "A."},
            {"score": 5, "issues": [], "notes": ""},
            {"score": 5, "issues": ["late"], "notes": "B."},
            "refusal",
        ],
    )

    score, issues, notes = (of(run, name) for name in ("score", "issues", "notes"))

    assert (score["before"]["mean"], score["after"]["mean"]) == (2.0, 5.0)
    assert (score["before"]["median"], score["after"]["n"]) == (2.0, 3)
    assert [b["count"] for b in score["before"]["histogram"]] == [1, 1, 1, 0, 0]
    assert [b["count"] for b in score["after"]["histogram"]] == [0, 0, 0, 0, 3]
    assert issues["before"] == {"late": 3}
    assert issues["after"] == {"late": 2, "rude": 1, "null": 1}
    assert (issues["changed"], issues["emptied"]) == (2, 1)
    assert matches(run, value="issues", to="rude") == 1
    assert (notes["changed"], notes["emptied"], notes["transitions"]) == (2, 1, [])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([1, 2, 40, 40, None, 99], [1, 3, 41, 99, 7, None]),
        ([0.5, 1.25, 2.0, 2.0, "many"], [0.5, 9.75, 10.0, 3.3, 0.1]),
    ],
)
def test_each_bar_of_a_histogram_opens_its_conversations(
    before: list[Any], after: list[Any]
) -> None:
    run = ended([{"score": n} for n in before], [{"score": n} for n in after])
    panel = next(one for one in panels(run) if one.report.name == "score")

    assert len(panel.bars) > 1
    for bar in panel.bars:
        for count, address in ((bar.before, bar.before_href), (bar.after, bar.after_href)):
            query = dict(parse_qsl(urlsplit(address).query))
            assert matches(run, **query) == count, (bar.label, query)
            if count:
                assert read_change(query).params() == query  # type: ignore[union-attr]


def test_conversations_done_without_a_request_are_not_in_the_report() -> None:
    run = ended([{"resolved": True}, {"resolved": True}], [{"resolved": False}] * 2)
    item = run.items.latest("pk")
    other = Analysis.objects.filter(conversation=item.conversation, trigger="imported").get()
    run.items.filter(pk=item.pk).update(analysis=other, previous_analysis=None, changed=False)

    assert of(run, "resolved")["changed"] == 1


@pytest.mark.parametrize(
    "params",
    [{"from": "true"}, {"changed": "a", "unchanged": "b"}, {"changed": ["a"]}],
)
def test_a_contradictory_filter_is_an_error(params: dict[str, Any]) -> None:
    with pytest.raises(InvalidChange):
        read_change(params)


@pytest.mark.parametrize("value", ["billing", "true", "12", "null", '"null"', "é {}", "[1, 2]"])
def test_a_value_survives_its_address(value: str) -> None:
    text = json.dumps(value, ensure_ascii=False)
    for stored in (text, text if value in {"billing", '"null"', "é {}"} else value):
        change = ChangeFilter("changed", "a", stored, None)
        assert read_change(change.params()) == change


def test_the_report_costs_a_fixed_number_of_queries(django_assert_num_queries: Any) -> None:
    run = ended([{"score": 1, "issues": ["a"]}] * 5, [{"score": 2, "issues": ["b"]}] * 5)
    with django_assert_num_queries(7):
        report_of(run)

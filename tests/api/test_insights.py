"""Insights over the API: the numbers of the pages, in the form of docs/interfaces.md."""

import json
from typing import Any

import pytest

from apps.accounts.models import Role
from apps.conversations.models import Conversation
from apps.insights.field_stats import ChoiceStats, NumberStats, RateStats
from apps.insights.stats import stats_of
from tests.insights.generated import make_generated, scope_of

from .conftest import Caller, CallerOf

pytestmark = pytest.mark.django_db

PERIOD = {"from": "2025-06-01", "to": "2025-06-30"}


def read(response: Any, status: int = 200) -> dict[str, Any]:
    assert response.status_code == status, response.content
    found: dict[str, Any] = json.loads(response.content)
    return found


@pytest.fixture
def viewer(caller_of: CallerOf) -> Caller:
    return caller_of(Role.VIEWER)


def test_numbers_are_those_of_the_pages(viewer: Caller) -> None:
    make_generated(200)
    found = read(viewer.get("/insights", **PERIOD, channel="voice", compare="previous"))
    scope = scope_of("from=2025-06-01&to=2025-06-30")

    assert found["conversations"] == found["analyzed"] + sum(found["left_out"].values())
    assert (found["bucket"], len(found["series"])) == ("day", 30)
    resolved = stats_of(scope, scope.fields["resolved"])
    assert isinstance(resolved, RateStats)
    shown = found["fields"]["resolved"]
    assert (shown["type"], shown["n"], shown["rate"]) == (
        "boolean",
        resolved.n,
        resolved.rate.value,
    )
    assert shown["low"] < shown["rate"] < shown["high"]
    assert shown["total"] == shown["n"] + sum(shown["left_out"].values())
    assert [point["n"] for point in shown["series"]] == [p.rate.n for p in resolved.series]
    assert shown["previous"]["n"] == (resolved.previous.n if resolved.previous else None)
    topic = stats_of(scope, scope.fields["topic"])
    assert isinstance(topic, ChoiceStats)
    assert found["fields"]["topic"]["counts"] == {s.value: s.rate.yes for s in topic.shares}
    score = stats_of(scope, scope.fields["overall_score"])
    assert isinstance(score, NumberStats)
    assert found["fields"]["overall_score"]["median"] == score.median
    histogram = found["fields"]["overall_score"]["histogram"]
    assert sum(one["count"] for one in histogram) == score.n
    assert found["fields"]["tags"]["any"]["n"] == found["fields"]["tags"]["n"]


def test_filters_fields_and_breakdown(viewer: Caller) -> None:
    support, _ = make_generated(200)
    query: dict[str, Any] = {
        **PERIOD,
        "agent": support.public_id,
        "any1.analysis.topic": "billing",
        "any1.analysis.resolved": "true",
        "by": "topic",
        "field": ["resolved", "overall_score"],
    }
    found = read(viewer.get("/insights", **query))
    rows = [
        c
        for c in Conversation.objects.filter(agent=support)
        if scope_of("from=2025-06-01&to=2025-06-30").period.start <= c.sort_at
        and (data := c.analysis_data or {})
        and (data.get("topic") == "billing" or data.get("resolved") is True)
    ]
    assert found["conversations"] == len(rows)
    assert list(found["fields"]) == ["resolved", "overall_score"]
    assert sum(found["groups"].values()) == len(rows)
    by = found["fields"]["resolved"]["by"]["billing"]
    own = [c.analysis_data or {} for c in rows if (c.analysis_data or {}).get("topic") == "billing"]
    assert by["n"] == sum(isinstance(data.get("resolved"), bool) for data in own)
    assert found["previous"] is None
    assert "previous" not in found["fields"]["resolved"]


@pytest.mark.parametrize("filters", [{"q": "xylophone"}, {"agent__isset": "false"}])
def test_a_filter_that_nothing_can_match_leaves_zero(
    viewer: Caller, filters: dict[str, str]
) -> None:
    make_generated(3)
    found = read(viewer.get("/insights", **PERIOD, channel="voice", **filters))
    assert (found["conversations"], found["analyzed"]) == (0, 0)


def test_both_channels_without_one(viewer: Caller) -> None:
    make_generated(20)
    found = read(viewer.get("/insights", **PERIOD))
    assert found["channel"] is None
    assert found["fields"]["call_successful"]["type"] == "boolean"


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ({"field": "nope"}, "bad_request", "No agent has a field named “nope”."),
        ({"by": "nope"}, "bad_request", "Statistics can’t be broken down by “nope”."),
        ({"from": "2025-13-01"}, "bad_period", "“2025-13-01” is not a date such as 2025-01-31."),
        ({"clock": "noon"}, "bad_request", "clock must be one of started, analyzed, not “noon”."),
        ({"nope": "1"}, "invalid_filter", "Unknown filter “nope”."),
    ],
)
def test_bad_parameters_are_rejected(
    viewer: Caller, query: dict[str, str], code: str, message: str
) -> None:
    error = read(viewer.get("/insights", **query), 400)["error"]
    assert (error["code"], error["message"]) == (code, message)

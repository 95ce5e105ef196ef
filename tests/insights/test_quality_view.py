"""The quality view and unusual fields: numbers are counts of rows, and every tile is drawn."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from apps.agents.models import Agent
from apps.agents.templates import QUALITY_ASSURANCE
from apps.conversations.models import Conversation
from tests.factories import make_agent, make_conversations, make_derived_field

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 20, 10, tzinfo=UTC)
PERIOD = "channel=voice&from=2026-03-01&to=2026-03-20"
HTMX = {"HX-Request": "true"}
LONG = "a very long name of a choice " * 12


def _analyzed(agent: Agent, results: list[dict[str, Any]]) -> None:
    made = make_conversations(agent, len(results), started_at=NOW - timedelta(days=3))
    for conversation, result in zip(made, results, strict=True):
        conversation.analysis_data = result
        conversation.analysis_state = "succeeded"
        conversation.sort_at = NOW - timedelta(days=3)
    fields = ["analysis_data", "analysis_state", "sort_at"]
    Conversation.objects.bulk_update(made, fields)


def test_scores_checks_and_issues_equal_counts(viewer_client: Client) -> None:
    agent = make_agent(schema=QUALITY_ASSURANCE.schema())
    _analyzed(
        agent,
        [
            {
                "overall_score": n % 101,
                "greeting_proper": n % 4 > 0,
                "closing_proper": n % 3 > 0,
                **({"compliance_issues": [f"issue {n % 5}"]} if n % 6 == 0 else {}),
            }
            for n in range(120)
        ],
    )
    rows = Conversation.objects.filter(agent=agent)

    def panel(name: str) -> Any:
        response = viewer_client.get(f"/insights/quality/{name}/?{PERIOD}", headers=HTMX)
        assert response.status_code == 200
        return response.context["panel"]

    score = panel("score").tile.stats
    assert (score.n, score.lowest, score.highest) == (120, 0, 100)
    assert sum(bin_.n for bin_ in score.bins) == rows.count()
    checks = {check.field.name: check for check in panel("checks").checks}
    for name in ("greeting_proper", "closing_proper"):
        failed = rows.filter(**{f"analysis_data__{name}": False}).count()
        assert (checks[name].failed.yes, checks[name].failed.n) == (failed, 120)
        assert viewer_client.get(checks[name].url).context["matching"].number == failed
    issues = panel("compliance").tile.stats
    assert issues.any.yes == rows.filter(analysis_data__has_key="compliance_issues").count() == 20
    worst = panel("worst").listed
    scores = [one.analysis_data["overall_score"] for one in worst.conversations]
    assert scores == sorted(scores)
    assert scores[0] == 0
    assert worst.count == 120


UNUSUAL = {
    "many_choices": {"type": "string", "enum": [f"{LONG}{n}" for n in range(60)]},
    "one_value": {"type": "string", "enum": ["only"]},
    "never_filled": {"type": "boolean"},
    "once_yes": {"type": "boolean"},
    "same_number": {"type": "number"},
    "<b>name</b> & more": {"type": "string", "enum": ["<i>x</i>", "y"]},
}


def test_tiles_of_unusual_fields_are_drawn(viewer_client: Client) -> None:
    agent = make_agent(schema={"type": "object", "properties": UNUSUAL, "required": []})
    results: list[dict[str, Any]] = [
        {
            "many_choices": f"{LONG}{n}",
            "one_value": "only",
            "same_number": 7,
            "<b>name</b> & more": "<i>x</i>",
        }
        for n in range(60)
    ]
    results[0]["once_yes"] = True
    _analyzed(agent, results)
    body = viewer_client.get(f"/insights/?{PERIOD}&whole=1").content.decode()
    assert body.count('class="tile"') >= len(UNUSUAL)
    assert "<i>x</i>" not in body
    assert "<b>name</b>" not in body
    for name in ("never_filled", "once_yes"):
        tile = viewer_client.get(f"/insights/tile/?{PERIOD}&field={name}", headers=HTMX)
        text = tile.content.decode()
        assert ("No values" if name == "never_filled" else "too few for a rate") in text


def test_a_scorecard_fills_the_score_and_its_failed_checks(viewer_client: Client) -> None:
    properties = {"greeting": {"type": "boolean"}, "marks": {"type": "integer"}}
    agent = make_agent(schema={"type": "object", "properties": properties})
    points = [
        {"label": "Greeting", "points": 1, "when": {"field": "greeting", "value": True}},
        {"label": "Score", "points": 1, "when": {"field": "marks", "op": "gte", "value": 5}},
    ]
    card = {"points": points, "pass_mark": 50, "knock_outs": []}
    make_derived_field(definition={"scorecard": card})
    failed = [["Greeting"], ["Greeting", "Score"], [], ["Score"]]
    _analyzed(
        agent,
        [
            {"quality": 25 * n, "quality_passed": n > 1, "quality_failed": failed[n]}
            for n in (0, 1, 2, 3)
            for _ in range(10)
        ],
    )

    def panel(name: str) -> Any:
        response = viewer_client.get(f"/insights/quality/{name}/?{PERIOD}", headers=HTMX)
        assert response.status_code == 200
        return response.context["panel"]

    score = panel("score")
    assert score.filled.field.name == "quality"
    stats = score.tile.stats
    assert (stats.n, stats.lowest, stats.highest) == (40, 0, 75)
    rows = Conversation.objects.filter(agent=agent)
    checks = {check.label: check for check in panel("checks").checks}
    for label in ("Greeting", "Score"):
        count = rows.filter(analysis_data__quality_failed__contains=[label]).count()
        assert (checks[label].failed.yes, checks[label].failed.n) == (count, 40)
        assert viewer_client.get(checks[label].url).context["matching"].number == count
    (passed,) = [one for one in checks.values() if one.field.name == "quality_passed"]
    assert (passed.failed.yes, passed.failed.n) == (20, 40)
    worst = panel("worst").listed.conversations
    assert [one.analysis_data["quality"] for one in worst] == [0] * len(worst)

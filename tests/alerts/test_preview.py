"""The preview fires when the evaluator would have."""

from datetime import timedelta
from typing import Any

import pytest

from apps.alerts.definitions import apply
from apps.alerts.evaluate import evaluate
from apps.alerts.measure import last_window_end, step_of, usual_latency
from apps.alerts.models import AlertRule
from apps.alerts.preview import preview

from .alerting import NOON, calls, definition, quality_agent, rate_rule, result_rule

pytestmark = pytest.mark.django_db


def test_preview_fires_as_the_evaluator_does(monkeypatch: pytest.MonkeyPatch) -> None:
    # The evaluator runs every 5 minutes: 30 days of it would be 8,640 runs, nearly all of nothing.
    monkeypatch.setattr("apps.alerts.preview.SPAN", timedelta(hours=20))
    agent = quality_agent()
    for hour in range(20):
        good = 20 if hour % 5 < 3 else 8
        values = [{"resolved": number < good} for number in range(20)]
        calls(agent, NOON - timedelta(hours=hour, minutes=20), values)
    rule = rate_rule(window_hours=2, for_minutes=30)
    drawn = preview(rule, NOON)
    at = drawn.start
    while at <= drawn.end:
        evaluate(rule.pk, at, now=at)
        at += step_of(rule.window)
    past = [(i.opened_at, i.resolved_at) for i in rule.incidents.order_by("pk")]
    assert [(one.start, one.end) for one in drawn.incidents] == past
    assert len(past) >= 3
    assert drawn.conversations == 20 * 20


def test_preview_is_three_statements(django_assert_num_queries: Any) -> None:
    calls(quality_agent(), NOON - timedelta(days=3), [{"resolved": False}] * 30)
    rule = apply(AlertRule(), definition(per_agent=False))
    with django_assert_num_queries(3):  # the fields, the usual latency, and the conversations
        drawn = preview(rule, NOON)
    assert [one.conversations for one in drawn.incidents] == [30]
    assert not AlertRule.objects.exists()


def test_preview_of_results_groups_matches_until_it_is_quiet() -> None:
    agent = quality_agent()
    for hours in (200, 190, 100, 3):
        calls(agent, NOON - timedelta(hours=hours), [{"overall_score": 1}, {"overall_score": 99}])
    drawn = preview(result_rule(), NOON)
    assert [one.conversations for one in drawn.incidents] == [2, 1, 1]
    assert [one.end is None for one in drawn.incidents] == [False, False, True]
    assert (drawn.conversations, drawn.matched) == (8, 4)


def test_preview_of_an_average_per_agent_names_agents() -> None:
    one, two = quality_agent("One"), quality_agent("Two")
    at = NOON - timedelta(days=2)
    calls(one, at, [{"overall_score": 95}] * 20)
    calls(two, at, [{"overall_score": 45}] * 20)
    rule = apply(
        AlertRule(),
        definition(
            kind="average", field="overall_score", threshold=60.0, recovery=None, per_agent=True
        ),
    )
    (found,) = preview(rule, NOON).incidents
    assert found.agent == two
    assert found.value == 45.0


def test_window_ends_before_results_usually_arrive() -> None:
    agent = quality_agent()
    for minutes in range(30, 60):
        at = NOON - timedelta(minutes=minutes)
        (call,) = calls(agent, at, [{"resolved": True}])
        call.analyzed_at = at + timedelta(minutes=12)
        call.save(update_fields=["analyzed_at"])
    latency = usual_latency("voice", NOON)
    assert latency == timedelta(minutes=12)
    end = last_window_end(timedelta(hours=1), now=NOON, latency=latency)
    assert end == NOON - timedelta(minutes=15)
    assert usual_latency("chat", NOON) == timedelta(minutes=1)

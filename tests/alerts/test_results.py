"""Rules of single results: what opens an incident, adds to it, and closes it."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.alerts import services
from apps.alerts.checks import check_batch, run_checks
from apps.alerts.evaluate import close_quiet
from apps.alerts.models import Check, Incident, Match
from apps.webhooks.models import Event
from tests.factories import make_endpoint
from tests.webhooks.deliveries import endpoint_to

from .alerting import EVE, calls, open_incidents, quality_agent, record, result_rule, write_result

pytestmark = pytest.mark.django_db


def test_low_score_or_compliance_issue_opens_one_incident_and_closes_it() -> None:
    endpoint_to("https://example.com/hook")
    agent, rule, now = quality_agent(), result_rule(), timezone.now()
    good, low, issue = calls(
        agent,
        now,
        [
            {"overall_score": 90, "compliance_issues": []},
            {"overall_score": 69},
            {"overall_score": 95, "compliance_issues": ["no disclosure"]},
        ],
    )
    record([good, low])
    run_checks(now)
    record([issue])
    run_checks(now)
    (incident,) = open_incidents(rule)
    assert incident.matched == 2
    assert set(Match.objects.values_list("conversation", flat=True)) == {low.pk, issue.pk}
    assert services.state_of(rule) == "alerting"
    write_result(low, {"overall_score": 80}, at=now, trigger="rerun")
    record([low], first=False)
    run_checks(now)
    assert len(open_incidents(rule)) == 1
    write_result(issue, {"overall_score": 95, "compliance_issues": []}, at=now, trigger="backfill")
    record([issue], first=False)
    run_checks(now)
    incident.refresh_from_db()
    assert (incident.state, incident.resolution) == ("resolved", "no_longer_matches")
    assert services.state_of(rule) == "normal"
    assert not Check.objects.exists()
    sent = Event.objects.order_by("pk").values_list("type", flat=True)
    assert list(sent) == ["alert.triggered", "alert.resolved"]


def test_incident_closes_when_nothing_new_matches() -> None:
    agent, rule, now = quality_agent(), result_rule(quiet_hours=6), timezone.now()
    record(calls(agent, now, [{"overall_score": 10}]))
    run_checks(now)
    assert close_quiet(now + timedelta(hours=5, minutes=59)) == 0
    record(calls(agent, now, [{"overall_score": 11}]))
    run_checks(now + timedelta(hours=5))
    assert close_quiet(now + timedelta(hours=6)) == 0
    assert close_quiet(now + timedelta(hours=11)) == 1
    found = Incident.objects.get()
    assert (found.rule, found.resolution, found.matched) == (rule, "quiet", 2)


def test_backfill_floods_no_one_unless_asked() -> None:
    agent, now = quality_agent(), timezone.now()
    first_only, both = result_rule(), result_rule(name="Also reruns", include_reruns=True)
    found = calls(agent, now, [{"overall_score": 10}] * 3, trigger="backfill")
    record(found, first=False)
    run_checks(now)
    assert open_incidents(first_only) == []
    assert [one.matched for one in open_incidents(both)] == [3]


def test_backfill_notes_nothing_where_no_rule_wants_it() -> None:
    agent = quality_agent()
    result_rule()
    record(calls(agent, timezone.now(), [{"overall_score": 10}]), first=False)
    assert not Check.objects.exists()


def test_recording_costs_one_query_without_rules(django_assert_num_queries: Any) -> None:
    found = calls(quality_agent(), timezone.now(), [{"overall_score": 10}] * 3)
    with django_assert_num_queries(1):
        record(found)
    assert not Check.objects.exists()


def test_each_agent_has_its_own_incident() -> None:
    one, two, now = quality_agent("One"), quality_agent("Two"), timezone.now()
    rule = result_rule(per_agent=True)
    record([*calls(one, now, [{"overall_score": 1}] * 2), *calls(two, now, [{"overall_score": 1}])])
    run_checks(now)
    found = {i.agent_id: i.matched for i in open_incidents(rule)}
    assert found == {one.pk: 2, two.pk: 1}


def test_other_agents_and_channels_are_left_out() -> None:
    one, two, now = quality_agent("One"), quality_agent("Two"), timezone.now()
    rule = result_rule(agent=one)
    record(calls(two, now, [{"overall_score": 1}]))
    run_checks(now)
    assert open_incidents(rule) == []


@pytest.mark.django_db(transaction=True)
def test_paused_rule_looks_at_nothing_of_the_pause() -> None:
    agent, rule, now = quality_agent(), result_rule(), timezone.now()
    other = result_rule(name="Another")
    services.pause_rule(rule=rule, by=EVE)
    record(calls(agent, now, [{"overall_score": 1}]))
    services.resume_rule(rule=rule, by=EVE)
    run_checks(now)
    assert (len(open_incidents(rule)), len(open_incidents(other))) == (0, 1)


def test_checks_are_taken_in_batches_of_few_statements(django_assert_num_queries: Any) -> None:
    agent, rule, now = quality_agent(), result_rule(), timezone.now()
    record(calls(agent, now, [{"overall_score": n} for n in range(100)]))
    with django_assert_num_queries(18):
        assert check_batch(now) == 100
    assert [one.matched for one in open_incidents(rule)] == [70]


def test_agent_scope_of_an_endpoint_is_kept() -> None:
    one, two, now = quality_agent("One"), quality_agent("Two"), timezone.now()
    make_endpoint(agent=two, events=["alert.triggered"])
    result_rule(agent=one)
    record(calls(one, now, [{"overall_score": 1}]))
    run_checks(now)
    assert not Event.objects.exists()

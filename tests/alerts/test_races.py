"""Two evaluators, two checkers, two people at once: each in a thread and transaction of its own."""

from datetime import timedelta

import pytest
from django.db import connection

from apps.accounts.actors import Actor
from apps.accounts.models import Role
from apps.alerts import incidents
from apps.alerts.checks import run_checks
from apps.alerts.evaluate import evaluate
from apps.alerts.models import Evaluation, Incident, IncidentEvent, Match, Message, Standing
from apps.alerts.notices import notify_due
from tests.agents.test_races import at_once

from .alerting import NOON, calls, quality_agent, rate_rule, record, result_rule

pytestmark = pytest.mark.django_db(transaction=True)


def test_window_evaluated_by_several_is_stored_once_and_opens_one_incident() -> None:
    rule = rate_rule()
    calls(quality_agent(), NOON - timedelta(minutes=30), [{"resolved": False}] * 20)
    at_once(lambda number: evaluate(rule.pk, NOON, now=NOON))
    assert Evaluation.objects.count() == Standing.objects.count() == 1
    assert Incident.objects.count() == IncidentEvent.objects.count() == 1


def test_results_checked_by_several_open_one_incident_with_each_conversation_once() -> None:
    result_rule()
    record(calls(quality_agent(), NOON, [{"overall_score": 1}] * 1_200))
    at_once(lambda number: run_checks(NOON))
    incident = Incident.objects.get()
    assert incident.matched == Match.objects.count() == 1_200


def test_batch_is_written_once() -> None:
    result_rule(addresses=["lead@example.com"])
    record(calls(quality_agent(), NOON, [{"overall_score": 1}]))
    run_checks(NOON)
    at_once(lambda number: notify_due(NOON))
    assert Message.objects.count() == 1


def test_incident_is_resolved_once() -> None:
    result_rule()
    record(calls(quality_agent(), NOON, [{"overall_score": 1}]))
    run_checks(NOON)
    incident = Incident.objects.get()

    def resolve(number: int) -> str:
        try:
            incidents.resolve(incident=incident, by=Actor(f"P{number}", Role.OPERATOR))
        except incidents.AlreadyResolved:
            return "late"
        return "resolved"

    assert sorted(map(str, at_once(resolve))) == ["late", "late", "late", "resolved"]
    assert IncidentEvent.objects.filter(kind="resolved").count() == 1


def test_database_allows_one_open_incident_per_rule_and_agent() -> None:
    from django.db import IntegrityError

    rule = rate_rule()
    incidents.open_incident(rule, agent_id=None, at=NOON)
    with pytest.raises(IntegrityError):
        incidents.open_incident(rule, agent_id=None, at=NOON)
    connection.rollback()

"""What the database itself holds of alerts, incidents and follow-ups."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from apps.insights.models import AlertKind, AlertRule, FollowUp, Incident
from tests.factories import make_agent, make_conversation

pytestmark = pytest.mark.django_db

NOW = timezone.now()
LOW_SCORE = {"field": "overall_score", "op": "lt", "value": 70}


def make_rule(**values: Any) -> AlertRule:
    return AlertRule.objects.create(
        **{
            "name": "Low score",
            "kind": AlertKind.PER_ANALYSIS,
            "condition": LOW_SCORE,
            "created_by": "tests",
            **values,
        }
    )


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"name": ""}, "alert_rule_name_given"),
        ({"condition": {}}, "alert_rule_condition_given"),
        ({"condition": []}, "alert_rule_condition_given"),
        ({"kind": "hunch"}, "alert_rule_rate_has_window"),
        ({"window": timedelta(hours=1)}, "alert_rule_rate_has_window"),
        ({"kind": "rate"}, "alert_rule_rate_has_window"),
        ({"kind": "rate", "window": timedelta(0)}, "alert_rule_rate_has_window"),
    ],
)
def test_rules_refused(values: dict[str, Any], constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        make_rule(**values)


def test_rules_taken() -> None:
    rule = make_rule(kind="rate", window=timedelta(hours=24), emails=["ada@example.com"])

    assert rule.public_id.startswith("alr_")


def test_a_rule_of_one_agent_never_becomes_one_of_all() -> None:
    agent = make_agent()
    make_rule(agent=agent)

    with pytest.raises(ProtectedError):
        agent.delete()


@pytest.mark.parametrize("subject", ["everything", "agent", "conversation"])
def test_one_open_incident_for_a_rule_and_its_subject(subject: str) -> None:
    rule, agent = make_rule(), make_agent()
    subjects: dict[str, dict[str, Any]] = {
        "everything": {},
        "agent": {"agent": agent},
        "conversation": {"conversation": make_conversation(agent)},
    }
    about = subjects[subject]
    Incident.objects.create(rule=rule, closed_at=NOW + timedelta(hours=1), closed_by="Ada", **about)
    Incident.objects.create(rule=rule, **about)

    Incident.objects.create(rule=make_rule(), **about)
    Incident.objects.create(rule=rule, agent=make_agent())
    with pytest.raises(IntegrityError, match="incident_one_open"), transaction.atomic():
        Incident.objects.create(rule=rule, **about)


def test_an_incident_has_one_subject() -> None:
    agent = make_agent()
    conversation = make_conversation(agent)
    with pytest.raises(IntegrityError, match="incident_one_subject"), transaction.atomic():
        Incident.objects.create(rule=make_rule(), agent=agent, conversation=conversation)


@pytest.mark.parametrize(
    "values",
    [
        {"closed_at": NOW},
        {"closed_by": "Ada"},
        {"opened_at": NOW, "closed_at": NOW - timedelta(seconds=1), "closed_by": "Ada"},
    ],
)
def test_an_incident_is_closed_after_it_opened_and_by_somebody(values: dict[str, Any]) -> None:
    with (
        pytest.raises(IntegrityError, match="incident_closed_after_opened_by_whom"),
        transaction.atomic(),
    ):
        Incident.objects.create(rule=make_rule(), **values)


def test_a_rule_with_incidents_is_kept() -> None:
    rule = make_rule()
    Incident.objects.create(rule=rule)

    with pytest.raises(ProtectedError):
        rule.delete()


def test_one_open_follow_up_of_a_conversation() -> None:
    conversation = make_conversation(make_agent())
    make = FollowUp.objects.create
    make(conversation=conversation, done_at=NOW, done_by="Ada", created_by="tests")
    make(conversation=conversation, created_by="tests")

    with pytest.raises(IntegrityError, match="follow_up_one_open"), transaction.atomic():
        make(conversation=conversation, created_by="tests")


@pytest.mark.parametrize("values", [{"done_at": NOW}, {"done_by": "Ada"}])
def test_a_follow_up_is_done_by_somebody(values: dict[str, Any]) -> None:
    conversation = make_conversation(make_agent())
    with pytest.raises(IntegrityError, match="follow_up_done_by_whom"), transaction.atomic():
        FollowUp.objects.create(conversation=conversation, created_by="tests", **values)


def test_erasing_a_conversation_takes_incidents_and_follow_ups_along() -> None:
    conversation = make_conversation(make_agent())
    Incident.objects.create(rule=make_rule(), conversation=conversation)
    FollowUp.objects.create(conversation=conversation, created_by="tests")

    conversation.delete()

    assert not Incident.objects.exists()
    assert not FollowUp.objects.exists()

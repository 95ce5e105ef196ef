"""The pages of alerts: what they show, what they reject, and what people do on them."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.alerts.checks import run_checks
from apps.alerts.evaluate import evaluate
from apps.alerts.models import AlertRule, Incident
from apps.alerts.notices import notify_due
from apps.conversations.models import Conversation
from tests.factories import client_as

from .alerting import NOON, calls, quality_agent, rate_rule, record, result_rule

pytestmark = pytest.mark.django_db

RATE = {
    "channel": "voice",
    "name": "Resolved below 80%",
    "kind": "rate",
    "scope": "",
    "field": "analysis.resolved",
    "value": "yes",
    "direction": "below",
    "threshold": "80",
    "recovery": "85",
    "window_hours": "24",
    "min_conversations": "20",
    "for_minutes": "0",
    "no_data": "keep",
    "quiet_hours": "24",
    "remind_hours": "0",
    "addresses": "lead@example.com, qa@example.com",
}
RESULT = RATE | {
    "name": "Bad calls",
    "kind": "result",
    "row-0-field": "analysis.overall_score",
    "row-0-op": "lt",
    "row-0-value": "70",
    "row-0-any": "any1",
    "row-1-field": "analysis.compliance_issues",
    "row-1-op": "isset",
    "row-1-value": "true",
    "row-1-any": "any1",
}


@pytest.fixture
def editor() -> Client:
    return client_as("editor")


def incident() -> Incident:
    rule = result_rule()
    now = timezone.now()
    record(calls(quality_agent(), now, [{"overall_score": 1}] * 2))
    run_checks(now)
    return rule.incidents.get()


def test_durations_are_entered_in_seconds_and_shown_as_time(editor: Client) -> None:
    agent = quality_agent()
    calls(agent, timezone.now() - timedelta(days=2), [{"resolved": True}] * 20)
    Conversation.objects.update(duration_ms=301_500)
    form = RATE | {"kind": "average", "field": "duration_ms", "direction": "above"}
    form |= {"threshold": "225.5", "recovery": "", "name": "Long calls"}
    preview = editor.post("/alerts/rules/preview/", form).content.decode()
    assert ">5:01<" in preview
    editor.post("/alerts/rules/new/", form)
    rule = AlertRule.objects.get()
    assert rule.threshold == 225_500
    page = editor.get(f"/alerts/rules/{rule.public_id}/").content.decode()
    assert "above 3:45" in page
    assert "225500" not in page
    assert 'value="225.5"' in editor.get(f"/alerts/rules/{rule.public_id}/edit/").content.decode()


def test_rate_rule_is_created_as_entered(editor: Client) -> None:
    quality_agent()
    response = editor.post("/alerts/rules/new/", RATE)
    rule = AlertRule.objects.get()
    assert response.headers["Location"] == f"/alerts/rules/{rule.public_id}/"
    assert (rule.threshold, rule.recovery, rule.field_value) == (0.8, 0.85, True)
    assert rule.addresses == ["lead@example.com", "qa@example.com"]
    assert rule.site_url == "http://testserver/"
    page = editor.get(f"/alerts/rules/{rule.public_id}/").content.decode()
    assert "below 80% over" in page


def test_rule_with_or_group_is_created_and_edited(editor: Client) -> None:
    quality_agent()
    editor.post("/alerts/rules/new/", RESULT)
    rule = AlertRule.objects.get()
    assert rule.condition == {
        "any": [
            {"field": "analysis.overall_score", "op": "lt", "value": 70},
            {"field": "analysis.compliance_issues", "op": "isset", "value": True},
        ]
    }
    url = f"/alerts/rules/{rule.public_id}/edit/"
    page = editor.get(url).content.decode()
    assert 'value="70"' in page
    seen = rule.updated_at.isoformat()
    editor.post(url, RESULT | {"row-0-value": "60", "seen": seen, "rule": rule.public_id})
    rule.refresh_from_db()
    assert rule.condition["any"][0]["value"] == 60
    late = editor.post(url, RESULT | {"seen": seen})
    assert "Someone else changed this rule" in late.content.decode()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "This field is required"),
        ({"threshold": ""}, "Enter a number."),
        ({"threshold": "800"}, "Must be from 0% to 100%."),
        ({"recovery": "70"}, "Must be at least the threshold."),
        ({"addresses": "nonsense"}, "isn’t a valid email address"),
        ({"slack": "hooks.slack.com"}, "must start with"),
        ({"field": "analysis.nonsense"}, "Select a valid choice"),
        ({"kind": "result"}, "Add at least one condition."),
        ({"row-0-field": "message_count", "row-0-op": "gt", "row-0-value": "many"}, "many"),
    ],
)
def test_bad_input_is_shown_at_its_place_and_kept(
    editor: Client, changes: dict[str, str], message: str
) -> None:
    quality_agent()
    response = editor.post("/alerts/rules/new/", RATE | changes)
    page = response.content.decode()
    assert response.status_code == 200
    assert message in page
    assert changes.get("name", "Resolved below 80%") in page
    assert not AlertRule.objects.exists()


def test_preview_of_the_form_counts(editor: Client) -> None:
    agent = quality_agent()
    calls(agent, timezone.now() - timedelta(days=2), [{"resolved": False}] * 25)
    page = editor.post("/alerts/rules/preview/", RATE | {"name": ""}).content.decode()
    assert "1 incident" in page
    assert "<svg" in page
    page = editor.post("/alerts/rules/preview/", {"channel": "voice"}).content.decode()
    assert "Complete the form" in page
    assert not AlertRule.objects.exists()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"threshold": "800"}, "Threshold: Must be from 0% to 100%."),
        ({"kind": "average", "field": ""}, "Field: Choose a field."),
        ({"window_hours": "0"}, "Window in hours: Must be at least 1."),
        ({"kind": "result", "field": ""}, ">Add at least one condition."),
    ],
)
def test_preview_names_a_problem_by_the_label_of_its_field(
    editor: Client, changes: dict[str, str], problem: str
) -> None:
    quality_agent()
    page = editor.post("/alerts/rules/preview/", RATE | changes).content.decode()
    assert problem in page


def test_fields_to_watch_are_grouped_by_agent(editor: Client) -> None:
    quality_agent()
    page = editor.get("/alerts/rules/new/").content.decode()
    [select] = re.findall(r'<select name="field".*?</select>', page, re.DOTALL)
    assert '<optgroup label="Conversation">' in select
    assert select.count("<optgroup") > 1


def test_page_of_a_rule_shows_its_messages(editor: Client) -> None:
    quality_agent()
    rule = result_rule(addresses=["lead@example.com"], channels={"slack": "https://1.1.1.1/x"})
    record(calls(quality_agent(), timezone.now(), [{"overall_score": 1}]))
    run_checks(timezone.now())
    notify_due(timezone.now())
    page = editor.get(f"/alerts/rules/{rule.public_id}/").content.decode()
    assert "[Debrief] Bad calls: alert" in page
    assert "Slack (1.1.1.1)" in page


def test_rule_is_paused_resumed_and_deleted(editor: Client) -> None:
    rule = rate_rule()
    url = f"/alerts/rules/{rule.public_id}/"
    editor.post(f"{url}pause/")
    assert "Paused" in editor.get(url).content.decode()
    editor.post(f"{url}resume/")
    assert "Normal" in editor.get(url).content.decode()
    assert "0 incidents" in editor.get(f"{url}delete/").content.decode()
    assert editor.post(f"{url}delete/").status_code == 302
    assert not AlertRule.objects.exists()


def test_incident_is_acknowledged_assigned_noted_and_resolved() -> None:
    found = incident()
    otto = client_as("operator")
    url = f"/alerts/incidents/{found.public_id}/"
    page = otto.get(url).content.decode()
    assert "Acknowledge" in page
    assert page.count("row-link") == 2
    otto.post(f"{url}acknowledge/")
    found.refresh_from_db()
    assert found.state == "acknowledged"
    assert found.owner is not None
    ben = User.objects.create_user("ben", role="operator")
    otto.post(f"{url}assign/", {"owner": "ben"})
    otto.post(f"{url}note/", {"note": "Prompt was wrong."})
    otto.post(f"{url}resolve/")
    found.refresh_from_db()
    assert (found.owner, found.note, found.state) == (ben, "Prompt was wrong.", "resolved")
    page = otto.get(url).content.decode()
    assert "Resolved by a user" in page
    assert "Prompt was wrong." in page
    late = otto.post(f"{url}acknowledge/", headers={"HX-Request": "true"})
    assert "already resolved" in late.headers["HX-Trigger"]


def test_incident_of_a_window_links_to_its_conversations() -> None:
    rule = rate_rule()
    calls(quality_agent(), NOON - timedelta(minutes=30), [{"resolved": False}] * 20)
    evaluate(rule.pk, NOON, now=NOON)
    client = client_as("viewer")
    page = client.get(f"/alerts/incidents/{rule.incidents.get().public_id}/").content.decode()
    assert "0% of 20" in " ".join(page.split())
    start = page.index("/calls/?started_at__gte")
    history = page[start : page.index('"', start)].replace("&amp;", "&")
    assert client.get(history).status_code == 200


def test_lists_filter_and_say_when_they_are_empty() -> None:
    viewer = client_as("viewer")
    assert "No rules yet" in viewer.get("/alerts/").content.decode()
    assert "No rules yet" in viewer.get("/alerts/rules/").content.decode()
    found = incident()
    assert found.public_id in viewer.get("/alerts/").content.decode()
    page = viewer.get("/alerts/?state=resolved").content.decode()
    assert "No matching incidents" in page
    assert "Unknown state" in viewer.get("/alerts/?state=x").content.decode()
    assert ">1<" in viewer.get("/alerts/count/").content.decode()


def test_lists_cost_few_queries(django_assert_max_num_queries: Any) -> None:
    viewer = client_as("viewer")
    for number in range(5):
        result_rule(name=f"Rule {number}")
    record(calls(quality_agent(), timezone.now(), [{"overall_score": 1}]))
    run_checks(timezone.now())
    viewer.get("/alerts/rules/")
    with django_assert_max_num_queries(14):
        viewer.get("/alerts/rules/")
    with django_assert_max_num_queries(8):
        viewer.get("/alerts/")


def test_rule_whose_field_is_gone_says_so() -> None:
    agent = quality_agent()
    rule = rate_rule()
    agent.versions.all()
    AlertRule.objects.filter(pk=rule.pk).update(field="gone")
    assert evaluate(rule.pk, NOON, now=NOON) is False
    page = client_as("viewer").get(f"/alerts/rules/{rule.public_id}/").content.decode()
    assert "No agent has a field named “gone”." in page

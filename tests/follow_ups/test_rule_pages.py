"""Rules of follow-ups: saved with rows of the filters' editor, listed, and deleted."""

from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import AuditEntry, Role
from apps.agents.models import Agent
from apps.follow_ups.models import FollowUpRule
from tests.factories import client_as, edit_draft, make_agent, make_follow_up_rule

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
NEW = "/follow-ups/rules/new/"
SCHEMA = {
    "type": "object",
    "properties": {
        "follow_up_needed": {"type": "boolean"},
        "lead_quality": {"type": "string", "enum": ["hot", "cold"]},
    },
}


@pytest.fixture
def agent() -> Agent:
    agent = make_agent(name="Sales line")
    edit_draft(agent, schema=SCHEMA)
    return agent


@pytest.fixture
def editor() -> Client:
    return client_as(Role.EDITOR)


def entered(**values: Any) -> dict[str, Any]:
    row = {
        "field": "analysis.lead_quality",
        "was": "analysis.lead_quality",
        "op": "",
        "value": "hot",
    }
    rows = {f"row-0-{name}": value for name, value in row.items()}
    return {**rows, "applies": "first", "enabled": "on", **values}


def test_the_default_rule_is_listed_until_there_is_another_one(
    editor: Client, agent: Agent
) -> None:
    assert "follow_up_needed is Yes" in editor.get("/follow-ups/rules/").text
    make_follow_up_rule(agent=agent)
    page = editor.get("/follow-ups/rules/").text
    assert "Sales line" in page
    assert "Default" in page
    make_follow_up_rule()
    assert "Default" not in editor.get("/follow-ups/rules/").text


def test_a_new_rule_begins_with_the_default(editor: Client, agent: Agent) -> None:
    dialog = editor.get(NEW, headers=HTMX).text
    assert 'name="row-0-field"' in dialog
    assert '<option value="analysis.follow_up_needed" selected>' in " ".join(dialog.split())


def test_a_rule_is_created_edited_and_deleted(editor: Client, agent: Agent) -> None:
    made = editor.post(NEW, entered(agent=agent.public_id, due_days="2"), headers=HTMX)
    assert made.status_code == 204
    rule = FollowUpRule.objects.get()
    assert (rule.agent, rule.due_days, rule.applies, rule.enabled) == (agent, 2, "first", True)
    assert rule.document["field"] == "analysis.lead_quality"
    here = f"/follow-ups/rules/{rule.public_id}"
    assert "hot" in editor.get(f"{here}/edit/", headers=HTMX).text
    editor.post(f"{here}/edit/", entered(applies="all", enabled=""), headers=HTMX)
    rule.refresh_from_db()
    assert (rule.agent, rule.applies, rule.enabled) == (None, "all", False)
    assert "Delete this rule?" in editor.get(f"{here}/delete/", headers=HTMX).text
    editor.post(f"{here}/delete/", headers=HTMX)
    assert not FollowUpRule.objects.exists()
    verbs = AuditEntry.objects.filter(verb__startswith="follow_up_rule.").order_by("pk")
    assert [e.verb.split(".")[1] for e in verbs] == ["created", "changed", "deleted"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"row-0-field": "", "row-0-was": ""}, "Add at least one condition."),
        ({"row-0-value": ""}, "lead_quality"),
        ({"applies": "sometimes"}, "sometimes"),
        ({"due_days": "-1"}, "Must be at least 0."),
    ],
)
def test_a_wrong_rule_is_said_and_not_saved(
    editor: Client, agent: Agent, values: dict[str, str], words: str
) -> None:
    response = editor.post(NEW, entered() | values, headers=HTMX)
    assert response.status_code == 200
    assert words in response.text
    assert not FollowUpRule.objects.exists()


def test_a_second_rule_of_the_same_agents_is_rejected(editor: Client, agent: Agent) -> None:
    make_follow_up_rule()
    response = editor.post(NEW, entered(), headers=HTMX)
    assert "There is a rule for all agents already." in response.text


def test_rows_are_redrawn_without_script(editor: Client, agent: Agent) -> None:
    page = editor.post(NEW, entered(add="1")).text
    assert 'name="row-1-field"' in page
    dropped = editor.post(NEW, entered(drop="0")).text
    assert "hot" not in dropped.split('name="row-0-value"')[-1][:40]
    assert not FollowUpRule.objects.exists()


def test_a_deeply_nested_rule_is_shown_in_words(editor: Client, agent: Agent) -> None:
    hot = {"field": "analysis.lead_quality", "value": "hot"}
    nested = {"any": [hot, {"all": [hot, {"any": [hot, {"field": "status", "value": "ended"}]}]}]}
    rule = make_follow_up_rule(document=nested)
    dialog = editor.get(f"/follow-ups/rules/{rule.public_id}/edit/", headers=HTMX).text
    assert "nested deeper than rows can show" in dialog

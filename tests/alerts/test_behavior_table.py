"""The table of docs/alerts.md, row by row: real conversations, the real evaluator, and a clock."""

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from apps.accounts.actors import Actor
from apps.accounts.models import Role
from apps.agents.models import Agent
from apps.alerts import incidents, services
from apps.alerts.evaluate import evaluate, remind
from apps.alerts.models import AlertRule, IncidentEvent

from .alerting import EVE, NOON, calls, definition, quality_agent

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
OPERATOR = Actor("Otto", Role.OPERATOR)


def rows() -> list[list[str]]:
    text = (Path(settings.BASE_DIR) / "docs" / "alerts.md").read_text()
    _, _, tail = text.partition("| Behavior | Settings |")
    table = tail.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def settings_of(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in filter(None, text.split(", ")):
        if (number := re.fullmatch(r"for (\d+) minutes", part)) is not None:
            found["for_minutes"] = int(number[1])
        elif (number := re.fullmatch(r"remind every (\d+) hours", part)) is not None:
            found["remind_hours"] = int(number[1])
        else:
            found["no_data"] = part.removeprefix("no data: ")
    return found


def fill(agent: Agent, window: str, end: datetime) -> None:
    """Make the calls of a window: `0% of 19`."""
    if window == "none":
        return
    percent, _, of = window.partition(" of ")
    count = int(of or 20)
    good = round(int(percent.rstrip("%")) / 100 * count)
    assert good * 100 == int(percent.rstrip("%")) * count
    values = [{"resolved": number < good} for number in range(count)]
    calls(agent, end - timedelta(minutes=30), values)


def act(rule: AlertRule, action: str) -> None:
    found = rule.incidents.order_by("pk").last()
    if action == "(resolve)":
        assert found
        incidents.resolve(incident=found, by=OPERATOR)
    elif action == "(acknowledge)":
        assert found
        incidents.acknowledge(incident=found, by=OPERATOR)
    elif action == "(edit)":
        wanted = definition(for_minutes=rule.for_minutes, threshold=0.81)
        services.change_rule(rule=rule, wanted=wanted, by=EVE)
    elif action == "(pause)":
        services.pause_rule(rule=rule, by=EVE)
    else:
        services.resume_rule(rule=rule, by=EVE)


_WORDS = {"opened": "opens", "resolved": "closes", "reminded": "reminds"}


def news(rule: AlertRule, seen: int, number: int) -> list[str]:
    found = IncidentEvent.objects.filter(incident__rule=rule).order_by("pk")[seen:]
    return [f"{_WORDS[e.kind]} {number}" for e in found if e.kind in _WORDS]


def test_table_has_rows() -> None:
    assert len(rows()) >= 15


@pytest.mark.parametrize(("name", "changes", "windows", "states", "incident"), rows())
def test_rule_behaves_as_documented(
    name: str, changes: str, windows: str, states: str, incident: str
) -> None:
    agent = quality_agent()
    rule = services.create_rule(wanted=definition(**settings_of(changes)), by=EVE)
    end, number = NOON, 0
    seen_states: list[str] = []
    seen_news: list[str] = []
    for token in windows.split(", "):
        before = IncidentEvent.objects.filter(incident__rule=rule).count()
        if token.startswith("("):
            act(rule, token)
        else:
            number += 1
            end += HOUR
            fill(agent, token, end)
            evaluate(rule.pk, end, now=end)
            remind(end)
        rule.refresh_from_db()
        seen_news += news(rule, before, number)
        if not token.startswith("("):
            seen_states.append(services.state_of(rule).value)
    assert ", ".join(seen_states) == states
    assert ", ".join(seen_news) == incident
    assert rule.incidents.open().count() <= 1

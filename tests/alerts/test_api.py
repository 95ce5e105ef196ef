"""Alert rules and incidents over the API."""

from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import Role, User
from apps.alerts.checks import run_checks
from apps.alerts.models import AlertRule
from tests.api.conftest import Caller

from .alerting import BAD_CALL, calls, quality_agent, record, result_rule

pytestmark = pytest.mark.django_db


class Api:
    """A caller whose responses are read without ceremony."""

    def __init__(self, role: Role) -> None:
        self._caller = Caller(role)

    def get(self, path: str) -> Any:
        return self._caller.get(path)

    def post(self, path: str, body: Any) -> Any:
        return self._caller.post(path, body)

    def patch(self, path: str, body: Any) -> Any:
        return self._caller.send("PATCH", path, body)

    def delete(self, path: str) -> Any:
        return self._caller.send("DELETE", path)


RATE: dict[str, Any] = {
    "name": "Resolved",
    "scope": {"agent_id": None},
    "rate": {
        "field": "resolved",
        "value": True,
        "below": 0.8,
        "recover_above": 0.83,
        "window_hours": 24,
        "min_conversations": 20,
        "for_minutes": 30,
        "no_data": "keep",
    },
}


@pytest.fixture
def editor() -> Api:
    quality_agent()
    return Api(Role.EDITOR)


def test_rate_rule_is_returned_as_it_was_sent(editor: Api) -> None:
    made = editor.post("/alert-rules", RATE).json()
    assert made["rate"] == RATE["rate"]
    assert made["scope"] == {"agent_id": None, "channel": "voice", "per_agent": False}
    assert (made["state"], made["open_incidents"]) == ("normal", 0)
    (listed,) = editor.get("/alert-rules").json()["items"]
    assert listed == made


def test_rule_of_results_is_changed_in_parts(editor: Api) -> None:
    User.objects.create_user("ada", email="ada@example.com")
    body = {
        "name": "Bad calls",
        "when": BAD_CALL,
        "notify": {"members": ["ADA@example.com"], "slack": "https://hooks.slack.com/x"},
    }
    made = editor.post("/alert-rules", body).json()
    assert made["when"]["any"][0]["value"] == 70
    assert made["notify"]["channels"] == [{"kind": "slack", "host": "hooks.slack.com"}]
    assert "hooks.slack.com/x" not in str(made)
    url = f"/alert-rules/{made['id']}"
    changed = editor.patch(url, {"name": "Very bad calls"}).json()
    assert changed["notify"] == made["notify"]
    assert changed["when"] == made["when"]
    paused = editor.patch(url, {"paused": True}).json()
    assert (paused["state"], paused["paused"]) == ("paused", True)
    removed = editor.patch(url, {"notify": {"slack": None}, "paused": False}).json()
    assert removed["notify"] == {
        "members": [], "emails": [], "channels": [], "remind_hours": 0
    }  # fmt: skip
    assert editor.patch(url, {"rate": RATE["rate"]}).json()["when"] is None
    assert editor.delete(url).status_code == 204
    assert not AlertRule.objects.exists()


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"name": "x"}, "invalid_alert_rule", "when"),
        (RATE | {"when": BAD_CALL}, "invalid_alert_rule", "when"),
        (RATE | {"scope": {"agent_id": "agt_none"}}, "invalid_alert_rule", "scope.agent_id"),
        (
            RATE | {"rate": RATE["rate"] | {"above": 0.9}},
            "invalid_alert_rule",
            "below",
        ),
        (
            RATE | {"rate": RATE["rate"] | {"window_hours": 0}},
            "invalid_alert_rule",
            "rate.window_hours",
        ),
        ({"name": "x", "when": {"field": "nope", "value": 1}}, "invalid_filter", "when.field"),
        (RATE | {"notify": {"members": ["no@one"]}}, "invalid_alert_rule", "notify.members"),
    ],
)
def test_bad_rules_are_rejected_by_field(
    editor: Api, body: dict[str, Any], code: str, field: str
) -> None:
    error = editor.post("/alert-rules", body).json()["error"]
    assert error["code"] == code
    assert field in error["fields"]
    assert not AlertRule.objects.exists()


def test_preview_saves_nothing(editor: Api) -> None:
    calls(quality_agent(), timezone.now(), [{"overall_score": 1}])
    found = editor.post("/alert-rules/preview", {"when": BAD_CALL}).json()
    assert found["matched"] == 1
    assert [one["ended_at"] for one in found["incidents"]] == [None]
    assert not AlertRule.objects.exists()


def test_incident_is_worked_on_by_operators() -> None:
    quality_agent()
    rule = result_rule()
    User.objects.create_user("ada", email="ada@example.com")
    record(calls(quality_agent(), timezone.now(), [{"overall_score": 1}]))
    run_checks(timezone.now())
    operator = Api(Role.OPERATOR)
    listed = operator.get(f"/incidents?state=open&rule={rule.public_id}").json()["items"]
    (found,) = listed
    url = f"/incidents/{found['id']}"
    body = {"state": "acknowledged", "owner": "ada@example.com", "note": "On it."}
    changed = operator.patch(url, body).json()
    assert (changed["state"], changed["owner"], changed["note"]) == (
        "acknowledged",
        "ada@example.com",
        "On it.",
    )
    assert operator.patch(url, {"owner": None}).json()["owner"] is None
    assert operator.patch(url, {"state": "resolved"}).json()["resolution"] == "by_hand"
    late = operator.patch(url, {"state": "resolved"})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "incident_resolved")
    assert operator.patch(url, {"owner": "x@y"}).json()["error"]["code"] == "invalid_incident"

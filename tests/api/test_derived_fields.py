"""Derived fields over the API: saved, listed, recomputed, and deleted."""

import json
from typing import Any

import pytest

from apps.agents.models import DerivedField
from apps.analysis.imports import Imported, record_imported
from apps.conversations.models import Conversation
from apps.runs import batches
from tests.factories import make_conversations, make_draft
from tests.factories.derived import PROPERTIES, SCORECARD
from tests.runs.completed import BY

from .conftest import Caller

pytestmark = [pytest.mark.django_db(transaction=True)]

BODY: dict[str, Any] = {"label": "Quality", "type": "number", "channel": "voice", **SCORECARD}


def read(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    found: dict[str, Any] = json.loads(answer.content) if answer.content else {}
    return found


def test_a_scorecard_is_saved_recomputed_and_deleted(editor: Caller) -> None:
    agent = make_draft(properties=PROPERTIES).agent
    calls = make_conversations(agent, 2)
    record_imported([Imported(one, {"score": 90, "greeting": True}) for one in calls], by=BY)

    saved = read(editor.send("PUT", "/derived-fields/quality", BODY), 200)
    assert (saved["name"], saved["scorecard"]["pass_mark"]) == ("quality", 60)
    assert saved["scorecard"]["knock_outs"][0]["when"]["field"] == "analysis.issues"
    listed = read(editor.get("/derived-fields"), 200)
    assert [one["name"] for one in listed["items"]] == ["quality"]

    body = {"preview": True}
    preview = read(editor.post("/derived-fields/quality/recompute", body), 200)
    assert (preview["results"], preview["changed"]) == (2, 2)
    assert preview["flips"] == [{"before": None, "after": True, "count": 2}]
    body = {"token": preview["token"]}
    run = read(editor.post("/derived-fields/quality/recompute", body), 202)
    assert run["kind"] == "derived"
    batches.run_batches(seconds=600)
    assert set(Conversation.objects.values_list("analysis_data__quality", flat=True)) == {100}
    again = read(editor.post("/derived-fields/quality/recompute"), 422)
    assert again["error"]["code"] == "nothing_to_recompute"

    read(editor.send("DELETE", "/derived-fields/quality"), 204)
    assert not DerivedField.objects.exists()


def test_the_same_definition_comes_back(editor: Caller) -> None:
    make_draft(properties=PROPERTIES)
    saved = read(editor.send("PUT", "/derived-fields/quality", BODY), 200)
    again = {k: v for k, v in saved.items() if v is not None and k != "name"}
    assert read(editor.send("PUT", "/derived-fields/quality", again), 200) == saved


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "text"}, "type"),
        ({"scorecard": {"points": []}}, "scorecard.points"),
        ({"rule": {"field": "score", "value": 1}}, "rule"),
        ({"agent_id": "agt_none"}, "agent_id"),
    ],
)
def test_a_wrong_definition_is_rejected_at_its_place(
    editor: Caller, change: dict[str, Any], field: str
) -> None:
    make_draft(properties=PROPERTIES)
    error = read(editor.send("PUT", "/derived-fields/quality", {**BODY, **change}), 422)["error"]
    assert error["code"] == "invalid_derived_field"
    assert field in error["fields"]

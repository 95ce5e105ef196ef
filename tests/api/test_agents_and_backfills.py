"""Drafts and backfills over the REST API."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.accounts.models import Role
from apps.agents.services import publish
from apps.runs.models import Run, RunItem
from apps.runs.options import Options
from apps.runs.services import start
from tests.factories import edit_prompt, make_agent, make_conversations, make_model

from .conftest import Caller, CallerOf

pytestmark = [pytest.mark.django_db]


def test_an_agent_from_first_draft_to_published(
    editor: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_model(name="gpt-test")
    monkeypatch.setattr("django.conf.settings.DEFAULT_MODEL", "gpt-test", raising=False)
    made = editor.post("/agents", {"name": "Billing line", "channel": "voice"})
    agent = json.loads(made.content)
    assert made.status_code == 201, made.content
    assert (agent["draft"]["version"], agent["latest_published"]) == (0, None)
    schema = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "boolean"}}}
    edited = editor.send(
        "PATCH",
        f"/agents/{agent['id']}/draft",
        {"analysis": {"schema": schema, "built_ins": {"call_summary": {"prompt": "In 5 words."}}}},
    )
    draft = json.loads(edited.content)["draft"]
    assert list(draft["analysis"]["schema"]["properties"]) == ["b", "a"]
    assert draft["analysis"]["built_ins"]["call_summary"]["prompt"] == "In 5 words."
    published = editor.post(f"/agents/{agent['id']}/publish", {"title": "First"})
    assert published.status_code == 200, published.content
    after = json.loads(editor.get(f"/agents/{agent['id']}").content)
    assert (after["draft"]["version"], after["latest_published"]) == (1, 0)
    versions = json.loads(editor.get(f"/agents/{agent['id']}/versions").content)["items"]
    assert [v["version"] for v in versions] == [1, 0]


def test_an_invalid_schema_is_refused_with_its_place(editor: Caller) -> None:
    agent = make_agent()
    schema = {"type": "object", "properties": {"x": {"type": "strin"}}}
    answer = editor.send(
        "PATCH", f"/agents/{agent.public_id}/draft", {"analysis": {"schema": schema}}
    )
    error = json.loads(answer.content)["error"]
    assert answer.status_code == 422
    assert any("/properties/x" in place for place in error["fields"]), error


def test_preview_start_watch_cancel(operator: Caller) -> None:
    agent = make_agent()
    make_conversations(agent, 4)
    body = {"channel": "voice", "filters": {"agent": agent.public_id, "message_count__gte": 1}}
    preview = json.loads(operator.post("/backfills/preview", body).content)
    assert (preview["matching"], preview["to_analyze"]) == (4, 4)
    assert float(preview["estimate"]["cost"]) > 0
    started = operator.post("/backfills", {**body, "token": preview["token"]})
    again = operator.post("/backfills", {**body, "token": preview["token"]})
    run = json.loads(started.content)
    assert started.status_code == 201
    assert json.loads(again.content)["id"] == run["id"]
    assert Run.objects.count() == 1
    items = json.loads(operator.get(f"/backfills/{run['id']}/items", state="pending").content)
    assert len(items["items"]) == 4
    cancelled = json.loads(operator.post(f"/backfills/{run['id']}/cancel").content)
    assert cancelled["state"] == "cancelled"
    assert cancelled["counts"]["skipped"] == 4
    assert operator.post(f"/backfills/{run['id']}/cancel").status_code == 409
    assert operator.post(f"/backfills/{run['id']}/retry_failed").status_code == 409


def test_an_outdated_preview_is_refused_with_the_new_figures(operator: Caller) -> None:
    agent = make_agent()
    make_conversations(agent, 2)
    body = {"channel": "voice", "filters": {}}
    token = json.loads(operator.post("/backfills/preview", body).content)["token"]
    edit_prompt(agent, "Another one.")
    answer = operator.post("/backfills", {**body, "token": token})
    shown = json.loads(answer.content)
    assert (answer.status_code, shown["error"]["code"]) == (409, "preview_outdated")
    assert shown["preview"]["to_analyze"] == 2
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        {"channel": "voice", "filters": {"nonsense": 1}},
        {"channel": "voice", "filters": {"duration_ms__gt": "x"}},
        {"channel": "voice", "filters": {"sort": "started_at"}},
        {"channel": "voice", "filters": []},
        {"channel": "fax"},
        {"channel": "voice", "sample": {"count": 0}},
        {"channel": "voice", "sample": {"percent": 101}},
        {"channel": "voice", "includeanalyzed": True},
        {"channel": "voice", "include_analyzed": "yes"},
        {"channel": "voice", "budget": "-1.00"},
        {"channel": "voice", "token": "made up"},
    ],
)
def test_a_bad_body_starts_nothing(operator: Caller, body: dict[str, object]) -> None:
    make_conversations(make_agent(), 2)
    answer = operator.post("/backfills", body)
    assert answer.status_code in {400, 422}, answer.content
    assert json.loads(answer.content)["error"]["message"]
    assert not Run.objects.exists()


def test_who_may(caller_of: CallerOf) -> None:
    agent = make_agent()
    viewer, operator = caller_of(Role.VIEWER), caller_of(Role.OPERATOR)
    assert viewer.post("/backfills", {"channel": "voice"}).status_code == 403
    assert operator.send("PATCH", f"/agents/{agent.public_id}/draft", {}).status_code == 403
    assert operator.post("/agents", {"name": "x", "channel": "voice"}).status_code == 403
    assert viewer.get("/agents").status_code == 200
    assert viewer.get("/backfills").status_code == 200


def test_the_documentation_opens_for_a_key(viewer: Caller) -> None:
    schema = viewer.get("/openapi.json")
    assert schema.status_code == 200
    paths = json.loads(schema.content)["paths"]
    assert "/api/backfills/{backfill_id}/retry_failed" in paths
    assert viewer.get("/docs").status_code == 200


def test_agents_come_with_their_drafts_alone(
    editor: Caller, django_assert_num_queries: Callable[[int], Any]
) -> None:
    for name in ("Billing line", "Support line"):
        agent = make_agent(name=name)
        for text in ("One.", "Two."):
            edit_prompt(agent, text)
            publish(agent=agent, by=Actor.system("tests"))
    editor.get("/agents")
    with django_assert_num_queries(3):  # the key, the agents, their drafts
        shown = json.loads(editor.get("/agents").content)["items"]
    assert [(a["draft"]["version"], a["latest_published"]) for a in shown] == [(2, 1), (2, 1)]


@pytest.mark.parametrize("name", ["state", "error_code"])
def test_items_are_not_filtered_by_what_there_is_not(viewer: Caller, name: str) -> None:
    agent = make_agent()
    make_conversations(agent, 1)
    run = start(channel="voice", params={}, options=Options(), by=Actor.system("tests"), token=None)
    answer = viewer.get(f"/backfills/{run.public_id}/items", **{name: "lunch"})
    error = json.loads(answer.content)["error"]
    assert (answer.status_code, error["code"]) == (400, "bad_request")
    assert name in error["fields"]


def test_a_list_of_runs_is_counted_in_two_queries(
    viewer: Caller, django_assert_num_queries: Callable[[int], Any]
) -> None:
    agent = make_agent()
    make_conversations(agent, 3)
    for count in (1, 2, 3):
        options = Options(sample_count=count)
        start(channel="voice", params={}, options=options, by=Actor.system("tests"), token=None)
    RunItem.objects.filter(run__total=2).update(
        state="failed", error_code="timeout", finished_at=timezone.now()
    )
    viewer.get("/backfills")
    with django_assert_num_queries(4):  # the key, the runs, their counts, their failures
        shown = json.loads(viewer.get("/backfills").content)["items"]
    assert [run["counts"]["total"] for run in shown] == [3, 2, 1]
    assert [run["counts"]["pending"] for run in shown] == [3, 0, 1]
    assert [run["failures"] for run in shown] == [{}, {"timeout": 2}, {}]

"""Report and rollback over the API."""

import json
from typing import Any

import pytest

from apps.analysis.imports import Imported, record_imported
from apps.conversations.models import Conversation
from apps.runs import batches
from apps.runs.models import Run
from tests.factories import make_agent, make_conversations
from tests.runs.completed import BY, backfill

from .conftest import Caller

pytestmark = [pytest.mark.django_db(transaction=True)]


def ended() -> Run:
    """A completed backfill that changed the outcome of two of three conversations."""
    make_conversations(make_agent(), 3)
    conversations = list(Conversation.objects.order_by("pk"))
    record_imported([Imported(one, {"call_successful": True}) for one in conversations[:2]], by=BY)
    return backfill([{"call_successful": False}] * 3)


def read(answer: Any, status: int = 200) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    found: dict[str, Any] = json.loads(answer.content)
    return found


def test_the_report_names_what_changed(operator: Caller) -> None:
    run = ended()

    report = read(operator.get(f"/backfills/{run.public_id}/report"))

    assert report["fields"]["call_successful"]["transitions"] == [
        {"from": True, "to": False, "count": 2},
        {"from": None, "to": False, "count": 1},
    ]
    assert report["usage"]["input_tokens"] == 3_000
    assert report["failures"] == {}
    link = {"changed": "call_successful", "from": "true", "to": "false"}
    assert len(read(operator.get(f"/backfills/{run.public_id}/items", **link))["items"]) == 2
    odd = operator.get(f"/backfills/{run.public_id}/items", **{"from": "true"})
    assert read(odd, 400)["error"]["code"] == "invalid_filter"


def test_a_rollback_is_previewed_and_started_once(operator: Caller) -> None:
    run = ended()
    here = f"/backfills/{run.public_id}/rollback"

    preview = read(operator.post(here, {"preview": True}))
    assert {**preview, "token": ""} == {
        "to_restore": 3,
        "without_previous": 1,
        "left_alone": 0,
        "left_alone_reasons": {},
        "token": "",
    }
    assert Run.objects.count() == 1
    started = read(operator.post(here, {"token": preview["token"]}), 202)
    again = read(operator.post(here, {"token": preview["token"]}), 202)
    assert started["id"] == again["id"]
    assert (started["kind"], started["of"]) == ("rollback", run.public_id)
    batches.run_batches(seconds=600)

    shown = read(operator.get(f"/backfills/{started['id']}"))
    assert shown["state"] == "completed"
    assert (shown["counts"]["restored"], shown["counts"]["left_alone"]) == (3, 0)
    assert not Conversation.objects.filter(successful=False).exists()
    assert read(operator.post(here, {}), 422)["error"]["code"] == "nothing_to_restore"
    listed = read(operator.get("/backfills"))["items"]
    assert [one["kind"] for one in listed] == ["rollback", "backfill"]


def test_what_is_left_alone_says_why(operator: Caller) -> None:
    run = ended()
    newer = Conversation.objects.earliest("pk")
    record_imported([Imported(newer, {"call_successful": True})], by=BY)

    started = read(operator.post(f"/backfills/{run.public_id}/rollback"), 202)
    batches.run_batches(seconds=600)

    items = read(operator.get(f"/backfills/{started['id']}/items", state="skipped"))["items"]
    assert [(one["conversation_id"], one["reason"]) for one in items] == [
        (newer.public_id, "rerun_since")
    ]


def test_filters_limit_a_rollback_and_an_unknown_one_is_refused(operator: Caller) -> None:
    run = ended()
    here = f"/backfills/{run.public_id}/rollback"
    one = Conversation.objects.latest("pk")
    wanted = {"id": one.public_id, "changed": "call_successful"}

    assert read(operator.post(here, {"filters": wanted, "preview": True}))["to_restore"] == 1
    for bad in ({"nonsense": 1}, {"sort": "started_at"}, {"from": "true"}, {"changed": ["a", "b"]}):
        assert operator.post(here, {"filters": bad}).status_code == 400, bad
    assert read(operator.post(here, {"token": "made up"}), 400)["error"]["code"] == "invalid_token"
    started = read(operator.post(here, {"filters": wanted}), 202)
    assert started["filters"] == {"id": [one.public_id], "changed": ["call_successful"]}


def test_a_rollback_that_would_do_more_than_shown_is_refused(operator: Caller) -> None:
    run = ended()
    here = f"/backfills/{run.public_id}/rollback"
    token = read(operator.post(here, {"preview": True}))["token"]
    wanted = {"filters": {"changed": "call_successful"}, "token": token}

    outdated = read(operator.post(here, wanted), 409)

    assert outdated["error"]["code"] == "preview_outdated"
    assert outdated["preview"]["to_restore"] == 3
    run.state = "running"
    run.save()
    assert read(operator.post(here, {}), 409)["error"]["code"] == "wrong_state"

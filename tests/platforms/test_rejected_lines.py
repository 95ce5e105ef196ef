"""Refused lines of our own receivers are stored, bounded, and can be replayed."""

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from apps.accounts.actors import Actor
from apps.accounts.keys import create_api_key
from apps.accounts.models import AuditEntry, Role
from apps.agents.models import Agent
from apps.conversations.models import Conversation
from apps.conversations.services import GROUP
from apps.intake.services import RejectedLine, ingest
from apps.platforms import rejected_lines
from apps.platforms.models import IntakePayload, UploadChannel
from apps.platforms.rejected_lines import storing_rejected
from apps.platforms.replay import NotReplayable, ask_replay, replay, replay_waiting
from tests.factories import make_agent

pytestmark = pytest.mark.django_db

BY = Actor.system("tests")


def line(**values: Any) -> bytes:
    said = [{"role": "user", "content": "I was charged twice"}]
    return json.dumps({"channel": "voice", "messages": said, **values}).encode()


def api(path: str, body: bytes, kind: str = "application/json") -> Any:
    _, key = create_api_key(name="sender", role=Role.OPERATOR, by=BY)
    header = {"authorization": f"Bearer {key}"}
    return Client().post(f"/api/{path}", body, content_type=kind, headers=header)


def only() -> IntakePayload:
    return IntakePayload.objects.get()


def test_a_refused_request_is_kept_as_it_came() -> None:
    body = line(external_id="c-1", source="crm", agent_id="agt_nobody")

    answer = api("conversations", body)

    assert answer.status_code == 422
    kept = only()
    assert (kept.upload_channel, kept.state, kept.line) == ("api", "refused", None)
    assert (kept.external_id, kept.source_name) == ("c-1", "crm")
    assert kept.body == json.loads(body)
    assert (kept.code, kept.reason) == (
        answer.json()["error"]["code"],
        answer.json()["error"]["message"],
    )
    assert kept.size == len(body)
    assert "sender" in kept.sent_by


def test_what_is_taken_leaves_no_row() -> None:
    assert api("conversations", line(agent_id=make_agent().public_id)).status_code == 201

    assert not IntakePayload.objects.exists()


@pytest.mark.parametrize("body", [b'{"channel": ', b"\xff\xfe", b'"\\ud800"', b'{"a": "\\u0000"}'])
def test_what_jsonb_cannot_hold_is_kept_as_bytes(body: bytes) -> None:
    assert api("conversations", body).status_code in {400, 422}

    kept = only()
    assert kept.body is None
    assert kept.raw is not None
    assert bytes(kept.raw) == body


def test_the_lines_of_a_bulk_upload_are_kept_with_their_numbers() -> None:
    good = line(agent_id=make_agent().public_id)
    lines = [good, b"{", good.replace(b"voice", b"fax"), b"", good]

    answer = api("conversations/bulk", b"\n".join(lines), "application/x-ndjson").json()

    kept = IntakePayload.objects.order_by("line")
    assert [(row.line, row.code) for row in kept] == [
        (error["line"], error["code"]) for error in answer["errors"]
    ]
    assert [row.line for row in kept] == [2, 3]
    assert {row.upload_channel for row in kept} == {"bulk"}
    assert answer["accepted"] == 2


def test_the_lines_of_a_file_are_kept_and_replayed_by_its_options(tmp_path: Path) -> None:
    agent = make_agent()
    file = tmp_path / "calls.jsonl"
    file.write_bytes(line(external_id="x", status="lost") + b"\n" + line(external_id="y"))
    call_command(
        "import_conversations", str(file), agent=agent.public_id, source="crm", stdout=StringIO()
    )
    kept = only()
    assert (kept.upload_channel, kept.source_name, kept.default_agent) == ("file", "crm", agent)
    assert kept.body is not None
    kept.body["status"] = "ended"
    kept.save()

    replayed = replay(payload=kept, by=BY)

    conversation = Conversation.objects.get(external_id="x")
    assert (replayed.state, replayed.reason, replayed.code) == ("taken", "", "")
    assert replayed.conversation == conversation
    assert (conversation.source, conversation.external_id) == ("crm", "x")
    assert conversation.agent == agent
    assert AuditEntry.objects.filter(verb="intake_payload.replayed").count() == 1


def test_files_without_an_agent_are_replayed_with_the_imported_one(tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    file.write_bytes(line(status="lost", external_id="x") + b"\n" + line(external_id="y"))
    call_command("import_conversations", str(file), stdout=StringIO())
    kept = only()
    assert kept.body is not None
    kept.body["status"] = "ended"
    kept.save()

    replay(payload=kept, by=BY)

    assert Conversation.objects.get(external_id="x").agent.name == "Imported calls"


def test_a_long_line_is_cut_and_cannot_be_replayed() -> None:
    with storing_rejected(UploadChannel.BULK, by=BY, source="api") as keep:
        keep(RejectedLine(7, "invalid_value", "No."), line(external_id="long", pad="x" * 200_000))

    kept = only()
    assert kept.cut
    assert kept.body is None
    assert len(bytes(kept.raw or b"")) == rejected_lines.MAX_BYTES
    assert kept.size is not None
    assert kept.size > 200_000
    assert kept.external_id == "long"
    with pytest.raises(NotReplayable, match="too long to store in full"):
        replay(payload=kept, by=BY)


def test_the_oldest_lines_of_a_receiver_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejected_lines, "PER_RECEIVER", 5)
    monkeypatch.setattr(rejected_lines, "PER_UPLOAD", 4)
    for upload in range(2):
        with storing_rejected(UploadChannel.BULK, by=BY, source="api") as keep:
            for number in range(1, 11):
                keep(RejectedLine(number, "not_json", "No."), b"%d" % upload)
    with storing_rejected(UploadChannel.FILE, by=BY, source="import") as keep:
        keep(RejectedLine(1, "not_json", "No."), b"{")

    rows = IntakePayload.objects.filter(upload_channel="bulk").order_by("pk")
    assert [(row.line, row.body) for row in rows] == [(4, 0), (1, 1), (2, 1), (3, 1), (4, 1)]
    assert IntakePayload.objects.filter(upload_channel="file").count() == 1


def test_what_was_refused_before_the_upload_broke_off_is_kept() -> None:
    def torn() -> Iterator[bytes]:
        yield from [b"{"] * GROUP
        raise ConnectionResetError

    def upload() -> None:
        with storing_rejected(UploadChannel.BULK, by=BY, source="api") as keep:
            ingest(lines=torn(), by=BY, on_refused=keep)

    with pytest.raises(ConnectionResetError):
        upload()

    assert IntakePayload.objects.count() == GROUP


def test_many_are_replayed_in_their_order_and_what_is_wrong_still_says_why() -> None:
    agent = make_agent()
    with storing_rejected(UploadChannel.BULK, by=BY, source="api") as keep:
        ingest(
            lines=[
                line(external_id="a", agent_id="shop-line"),
                b"{",
                line(external_id="b", agent_id="shop-line"),
            ],
            by=BY,
            on_refused=keep,
        )
    Agent.objects.filter(pk=agent.pk).update(external_id="shop-line")

    assert ask_replay(payloads=IntakePayload.objects.all(), by=BY) == 3
    assert ask_replay(payloads=IntakePayload.objects.all(), by=BY) == 0
    assert replay_waiting(limit=2) == 2
    assert IntakePayload.objects.to_replay().count() == 1
    assert replay_waiting() == 1

    states = IntakePayload.objects.order_by("line").values_list("state", "code")
    assert list(states) == [("taken", ""), ("refused", "not_json"), ("taken", "")]
    assert set(IntakePayload.objects.values_list("replayed_by", flat=True)) == {BY.label}
    assert set(Conversation.objects.values_list("external_id", flat=True)) == {"a", "b"}
    entry = AuditEntry.objects.get(verb="intake_payload.replay_asked")
    assert entry.detail == {"payloads": 3}


def test_a_second_click_on_replay_is_told() -> None:
    with storing_rejected(UploadChannel.API, by=BY, source="api") as keep:
        keep(RejectedLine(0, "unknown_agent", "No."), line(agent_id=make_agent().public_id))
    kept = only()
    replay(payload=kept, by=BY)

    with pytest.raises(NotReplayable, match="already accepted"):
        replay(payload=kept, by=BY)
    assert Conversation.objects.count() == 1

"""Payloads of platforms through their real receivers, refused, mended and replayed."""

import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.accounts.models import Role, User
from apps.agents.models import Agent
from apps.conversations.models import Conversation
from apps.platforms import receiver
from apps.platforms.models import IntakePayload, IntakeSource, PayloadState, SourceAgent
from apps.platforms.replay import UNFINISHED_FOR, ask_replay, replay, replay_waiting
from apps.platforms.sources import create_source, map_agent, set_secret
from apps.privacy.erasure import erase
from tests.factories import make_agent

pytestmark = pytest.mark.django_db

BY = Actor.command("tests")
SECRET = "key_right"


@pytest.fixture
def source() -> IntakeSource:
    return create_source(kind="retell", name="Retell, main", secret=SECRET, by=BY)


def send(source: IntakeSource, *, secret: str = SECRET, **call: Any) -> IntakePayload:
    """One webhook of Retell, signed as Retell signs."""
    said = [{"role": "user", "content": "I was charged twice."}]
    about = {
        "call_id": "call_1",
        "agent_id": "agent_1",
        "agent_name": "Front desk",
        "call_status": "ended",
        "start_timestamp": 1_760_000_000_000,
        "end_timestamp": 1_760_000_060_000,
        "transcript_object": said,
        **call,
    }
    body = json.dumps({"event": "call_ended", "call": about}).encode()
    moment = str(int(time.time() * 1000))
    digest = hmac.new(secret.encode(), body + moment.encode(), hashlib.sha256).hexdigest()
    headers = {"X-Retell-Signature": f"v={moment},d={digest}"}
    return receiver.receive(source=source, headers=headers, body=body)


def test_what_came_before_its_secret_is_taken_by_a_replay(source: IntakeSource) -> None:
    refused = send(source, secret="key_new")
    assert (refused.state, refused.code) == ("refused", "bad_signature")
    assert replay(payload=refused, by=BY).code == "bad_signature"  # no replay lets it in

    set_secret(source=source, secret="key_new", by=BY)
    taken = replay(payload=refused, by=BY)

    assert (taken.state, taken.reason, taken.external_id) == ("taken", "", "call_1")
    assert taken.conversation == Conversation.objects.get()
    assert taken.replayed_by == BY.label


def test_many_are_replayed_by_the_worker(source: IntakeSource) -> None:
    for number in range(3):
        send(source, secret="key_new", call_id=f"call_{number}")
    send(source, secret="key_forged", call_id="call_9")
    set_secret(source=source, secret="key_new", by=BY)

    assert ask_replay(payloads=IntakePayload.objects.filter(source=source), by=BY) == 4
    assert replay_waiting() == 4

    assert IntakePayload.objects.filter(state=PayloadState.TAKEN).count() == 3
    assert IntakePayload.objects.get(state=PayloadState.REFUSED).code == "bad_signature"
    assert Conversation.objects.count() == 3


def test_a_map_concerns_what_arrives_from_then_on(source: IntakeSource) -> None:
    ours = make_agent(name="Billing")
    send(source)
    met = Agent.objects.get(unconfigured=True)
    assert SourceAgent.objects.get().agent == met

    map_agent(source=source, external_id="agent_1", agent=ours, by=BY)
    map_agent(source=source, external_id="agent_2", agent=ours, by=BY)
    send(source, call_id="call_2")
    send(source, call_id="call_3", agent_id="agent_2")

    agents = dict(Conversation.objects.values_list("external_id", "agent__name"))
    assert agents == {"call_1": met.name, "call_2": "Billing", "call_3": "Billing"}


def test_an_agent_in_use_goes_before_one_that_is_deactivated(source: IntakeSource) -> None:
    old, used = make_agent(name="Old"), make_agent(name="Used")
    Agent.objects.update(external_id="agent_1")
    Agent.objects.filter(pk=old.pk).update(deactivated_at=timezone.now())

    send(source)

    assert Conversation.objects.get().agent == used


def test_an_agent_known_by_its_id_is_on_the_map_of_the_source(source: IntakeSource) -> None:
    known = make_agent(name="Front desk")
    Agent.objects.update(external_id="agent_1")

    send(source)
    send(source, call_id="call_2")

    row = SourceAgent.objects.get()
    assert (row.source, row.external_id, row.agent) == (source, "agent_1", known)


def test_a_payload_of_an_erased_conversation_goes_when_it_is_replayed(
    source: IntakeSource,
) -> None:
    send(source)
    erase(conversations=Conversation.objects.all(), by=BY, why="asked for")
    late = send(source, secret="key_new")
    assert late.code == "bad_signature"
    set_secret(source=source, secret="key_new", by=BY)
    client = Client()
    client.force_login(User.objects.create_user("root", role=Role.ADMIN))

    answer = client.post(f"/intake/payloads/{late.pk}/replay/")

    assert answer.headers["Location"] == "/intake/"
    assert "was erased" in " ".join(str(m) for m in get_messages(answer.wsgi_request))
    assert not IntakePayload.objects.filter(pk=late.pk).exists()
    assert not Conversation.objects.exists()


def test_such_a_payload_does_not_stop_the_worker(source: IntakeSource) -> None:
    send(source)
    erase(conversations=Conversation.objects.all(), by=BY, why="asked for")
    for number in (1, 2):
        send(source, secret="key_new", call_id=f"call_{number}")
    set_secret(source=source, secret="key_new", by=BY)

    ask_replay(payloads=IntakePayload.objects.filter(source=source), by=BY)

    assert replay_waiting() == 2
    assert Conversation.objects.get().external_id == "call_2"
    assert not IntakePayload.objects.to_replay().exists()


def test_a_database_that_is_away_does_not_undo_the_asking(
    source: IntakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(source, secret="key_new")
    ask_replay(payloads=IntakePayload.objects.filter(source=source), by=BY)

    def away(**_: object) -> None:
        raise OperationalError("the connection is gone")

    with monkeypatch.context() as patched:
        patched.setattr(receiver, "replay", away)
        with pytest.raises(OperationalError):
            replay_waiting()

    assert IntakePayload.objects.to_replay().count() == 1


def test_what_a_stopped_process_left_unfinished_is_taken_in_by_the_schedule(
    source: IntakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object, **__: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(receiver, "_ingest", dies)
        with pytest.raises(SystemExit):
            send(source)
    (left,) = IntakePayload.objects.all()
    assert (left.state, left.code) == ("refused", "unfinished")

    assert replay_waiting() == 0  # somebody may be at work on it still
    IntakePayload.objects.update(received_at=timezone.now() - UNFINISHED_FOR)
    assert replay_waiting() == 1

    left.refresh_from_db()
    assert (left.state, left.conversation) == ("taken", Conversation.objects.get())
    assert left.replayed_by == "system: intake"


def test_what_cannot_be_finished_is_tried_by_itself_once(
    source: IntakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(receiver, "_ingest", breaks)
    with pytest.raises(ZeroDivisionError):
        send(source)
    IntakePayload.objects.update(received_at=timezone.now() - UNFINISHED_FOR)

    assert replay_waiting() == 1
    assert replay_waiting() == 0
    assert IntakePayload.objects.get().replayed_at is not None

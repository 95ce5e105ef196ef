"""The receivers of platforms over HTTP: verified, kept, mapped, taken in once (decision 0010)."""

import copy
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import close_old_connections, connection
from django.utils import timezone

from apps.agents.models import Agent
from apps.analysis.models import Analysis
from apps.contacts.models import Contact
from apps.conversations.models import Attributes, Conversation
from apps.intake import lifecycle
from apps.platforms import payloads, receiver
from apps.platforms.models import IntakePayload, IntakeSource, SourceAgent
from apps.platforms.replay import replay
from apps.platforms.sources import map_agent, rules_of, set_secret
from apps.privacy.erasure import erase
from tests.factories import make_agent
from tests.platforms.mappings import examples
from tests.platforms.mappings.signing import BY, KEY, send, signed, source_of

pytestmark = pytest.mark.django_db

ALL: list[tuple[str, Callable[[], dict[str, Any]]]] = [
    ("retell", examples.retell),
    ("retell", examples.retell_chat),
    ("vapi", examples.vapi),
    ("elevenlabs", examples.elevenlabs),
    ("elevenlabs", examples.failed_call),
]


def the_one() -> Conversation:
    return Conversation.objects.get()


def metadata(conversation: Conversation) -> dict[str, Any]:
    found: dict[str, Any] = Attributes.objects.get(conversation=conversation).metadata
    return found


@pytest.mark.parametrize(("kind", "example"), ALL)
def test_a_signed_payload_is_taken_once(kind: str, example: Callable[[], dict[str, Any]]) -> None:
    source = source_of(kind)
    first = send(source, example())
    assert first.status_code == 200, first.content
    assert first.json() == {
        "state": "taken",
        "conversation_id": the_one().public_id,
        "note": first.json()["note"],
    }
    assert send(source, example()).json()["conversation_id"] == the_one().public_id
    payload = IntakePayload.objects.get()  # the same again takes the place of the first
    assert (payload.state, payload.conversation) == ("taken", the_one())
    assert payload.body == example()


def test_a_webhook_costs_a_fixed_number_of_statements(django_assert_num_queries: Any) -> None:
    """Once its agent is on the map; a new contact takes two more (docs/benchmarks.md, S6)."""
    source = source_of("retell")
    agent = make_agent()
    map_agent(source=source, external_id="agent_r", agent=agent, by=BY)

    def call(name: str, number: str) -> None:
        payload = examples.retell("call_analyzed")
        payload["call"] |= {"call_id": name, "to_number": number}
        assert send(source, payload).status_code == 200

    call("before", "+12065550111")
    with django_assert_num_queries(13):
        call("known", "+12065550111")
    with django_assert_num_queries(15):
        call("new", "+12065550112")
    assert Contact.objects.count() == 2
    assert Conversation.objects.filter(agent=agent, analysis_state="pending").count() == 3


@pytest.mark.parametrize(("kind", "example"), ALL)
def test_one_byte_changed_is_refused(kind: str, example: Callable[[], dict[str, Any]]) -> None:
    source = source_of(kind)
    body = json.dumps(example()).encode()
    headers = signed(kind, body)
    changed = body.replace(b"e", b"f", 1)
    answer = send(source, changed, headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "bad_signature"
    assert not Conversation.objects.exists()
    payload = IntakePayload.objects.get()
    assert (payload.state, payload.code) == ("refused", "bad_signature")
    assert bytes(payload.raw or b"") == changed


def test_a_call_of_retell_in_detail() -> None:
    source = source_of("retell", platform_analysis="theirs")
    send(source, examples.retell("call_analyzed"))
    call = the_one()
    agent = Agent.objects.get()
    assert (agent.name, agent.external_id, agent.unconfigured) == ("Reception", "agent_r", True)
    assert SourceAgent.objects.get().agent == agent
    assert (call.source, call.external_id, call.channel) == ("retell", "call_1", "voice")
    assert (call.status, call.direction, call.duration_ms) == ("ended", "outbound", 60_500)
    assert (call.from_number, call.to_number) == ("+12065550100", "+12065550199")
    assert call.contact is not None
    assert call.contact.phone_number == "+12065550199"
    assert call.disconnection_reason == "agent_hangup"
    assert call.recording_url == "https://recordings.example/call_1.wav"
    said = [(m["role"], m["content"]) for m in call.transcript.messages]
    assert said == [
        ("agent", "Hello."),
        ("tool_call", '{"name": "find_order", "arguments": {"order": 7}}'),
        ("tool_result", "shipped"),
        ("user", "Thanks."),
        ("event", "Start → End"),
        ("dtmf", "1"),
        ("event", "SMS: My number"),
        ("system", "The caller is a member."),
        ("transfer", "Second line."),
        ("event", "hologram: ?"),
    ]
    assert call.transcript.messages[0]["at"] == "2025-10-09T08:53:20.500000+00:00"
    facts = metadata(call)
    assert facts["order"] == 7
    assert (facts["platform_cost"], facts["platform_agent_version"]) == (0.125, "3")
    assert call.attributes.dynamic_variables == {"customer": "Ada"}
    assert Analysis.objects.current().get().output == {
        "order_id": 7,
        "call_summary": "Asked about an order.",
        "call_successful": True,
        "user_sentiment": "Positive",
        "in_voicemail": False,
    }


def test_a_chat_of_retell_has_the_names_of_chats() -> None:
    send(source_of("retell", platform_analysis="theirs"), examples.retell_chat())
    chat = the_one()
    assert (chat.channel, chat.status, chat.message_count) == ("chat", "ended", 3)
    assert (chat.summary, metadata(chat)["platform_cost"]) == ("Hours.", 0.02)


def test_a_call_of_vapi_in_detail() -> None:
    send(source_of("vapi", platform_analysis="theirs"), examples.vapi())
    call = the_one()
    assert (call.status, call.direction, call.language) == ("ended", "inbound", "de")
    assert (call.from_number, call.to_number) == ("+4930123456", "+4930999999")
    assert call.contact is not None
    assert (call.contact.first_name, call.contact.last_name) == ("Ada", "Byron")
    assert [m["role"] for m in call.transcript.messages] == [
        "system",
        "agent",
        "user",
        "tool_call",
        "tool_result",
        "agent",
    ]
    assert call.duration_ms == 30_000
    assert metadata(call)["platform_cost"] == 0.12
    assert call.attributes.dynamic_variables == {"plan": "gold"}
    assert Analysis.objects.current().get().output == {
        "mood": "calm",
        "plan": "gold",
        "call_summary": "Wanted the plan.",
        "call_successful": True,
    }
    moved = call.transfers.get()
    assert (moved.after_message, moved.to_version.agent.external_id) == (5, "as-2")


def test_a_call_of_elevenlabs_in_detail() -> None:
    send(source_of("elevenlabs", platform_analysis="theirs"), examples.elevenlabs())
    call = the_one()
    assert (call.from_number, call.to_number) == ("+81300000002", "+81300000001")
    assert (call.language, call.duration_ms) == ("ja", 20_000)
    assert call.started_at is not None
    assert call.started_at.timestamp() == examples.MS / 1000
    assert [m["role"] for m in call.transcript.messages] == [
        "agent",
        "user",
        "tool_call",
        "tool_result",
        "agent",
    ]
    facts = metadata(call)
    assert (facts["platform_cost"], facts["platform_cost_credits"]) == (0.05, 140)
    assert facts["platform_rationales"]["floor"] == "Not said."
    assert call.transfers.get().to_version.agent.external_id == "agent_f"
    assert Analysis.objects.current().get().output == {
        "polite": "success",
        "nights": 2,
        "call_summary": "Wanted a room.",
        "call_successful": True,
    }


def test_a_call_that_never_came_about() -> None:
    send(source_of("elevenlabs"), examples.failed_call())
    call = the_one()
    assert (call.status, call.disconnection_reason) == ("not_connected", "busy")
    lifecycle.sweep(rules_of=rules_of)
    call.refresh_from_db()
    assert call.analysis_reason == "not_connected"


# The analysis that the platform made


def ended_then_analyzed() -> list[dict[str, Any]]:
    return [examples.retell("call_ended"), examples.retell("call_analyzed")]


@pytest.mark.parametrize("order", ["as sent", "the other way", "only the second"])
@pytest.mark.parametrize("rule", ["theirs", "wait"])
def test_theirs_becomes_the_result(rule: str, order: str) -> None:
    source = source_of("retell", platform_analysis=rule)
    events = ended_then_analyzed()
    if order == "as sent":
        send(source, events[0])
        call = the_one()
        assert (call.analysis_state, call.analysis_reason) == ("none", "waiting_for_platform")
        assert (call.analyze_at is None) == (rule == "theirs")
    events = {"as sent": events[1:], "the other way": events[::-1]}.get(order, events[1:])
    for event in events:
        assert send(source, event).status_code == 200
    call = the_one()
    assert (call.analysis_state, call.summary) == ("succeeded", "Asked about an order.")
    assert call.analyze_at is None
    assert Analysis.objects.get().trigger == "imported"


@pytest.mark.parametrize("order", [[0, 1], [1, 0], [1]])
def test_ours_is_made_and_theirs_kept_beside(order: list[int]) -> None:
    source = source_of("retell", platform_analysis="ours")
    map_agent(source=source, external_id="agent_r", agent=_configured(), by=BY)
    for at in order:
        assert send(source, ended_then_analyzed()[at]).status_code == 200
    call = the_one()
    assert metadata(call)["platform_analysis"]["call_summary"] == "Asked about an order."
    assert Analysis.objects.get().trigger == "initial"
    assert call.analysis_state == "pending"


def test_wait_ends_with_ours() -> None:
    source = source_of("retell", platform_analysis="wait", wait_minutes=7)
    map_agent(source=source, external_id="agent_r", agent=_configured(), by=BY)
    send(source, examples.retell("call_ended"))
    lifecycle.sweep(now=timezone.now() + timedelta(minutes=6), rules_of=rules_of)
    assert not Analysis.objects.exists()
    lifecycle.sweep(now=timezone.now() + timedelta(minutes=8), rules_of=rules_of)
    assert Analysis.objects.get().trigger == "initial"


def _configured() -> Agent:
    from tests.factories import make_agent

    return make_agent()


def test_what_vapi_found_in_a_voicemail_is_no_result() -> None:
    send(
        source_of("vapi", platform_analysis="theirs"),
        examples.vapi(endedReason="voicemail"),
    )
    assert not Analysis.objects.exists()
    assert metadata(the_one())["platform_analysis"]["call_summary"] == "Wanted the plan."


# Events


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("retell", {"event": "alert_triggered", "alert": {}}),
        ("retell", examples.retell("transcript_updated")),
        ("vapi", {"message": {"type": "assistant-request", "call": {"id": "v-9"}}}),
        ("vapi", {"message": {"type": "tool-calls", "call": {"id": "v-9"}}}),
        ("vapi", {"message": {"type": "speech-update"}}),
        ("vapi", {"message": {"type": "something-new"}}),
        ("elevenlabs", {"type": "voice_removed", "data": {}}),
        ("elevenlabs", {"type": "post_call_audio", "data": {"full_audio": "UklG" * 50_000}}),
    ],
)
def test_an_event_with_nothing_to_store_is_noted(kind: str, payload: dict[str, Any]) -> None:
    source = source_of(kind)
    for _ in range(2):
        answer = send(source, payload)
        assert (answer.status_code, answer.json()["conversation_id"]) == (200, None)
    kept_one = IntakePayload.objects.get()
    assert (kept_one.state, kept_one.note) == ("taken", answer.json()["note"])
    assert kept_one.note
    assert not Conversation.objects.exists()


def test_a_call_of_vapi_ends_with_its_report() -> None:
    source = source_of("vapi")
    send(source, examples.vapi("status-update", status="in-progress", endedReason=None))
    assert the_one().status == "ongoing"
    send(source, examples.vapi("status-update", status="ended"))
    assert the_one().status == "ongoing"
    send(source, examples.vapi())
    assert the_one().status == "ended"
    send(source, examples.vapi("status-update", status="in-progress"))
    assert the_one().status == "ended"


# Refused


def test_what_cannot_be_read_is_kept_and_replayed() -> None:
    source = source_of("retell")
    broken = examples.retell(start_timestamp="yesterday")
    answer = send(source, broken)
    assert answer.status_code == 422
    assert "started_at" in answer.json()["error"]["message"]
    payload = IntakePayload.objects.get()
    assert (payload.state, payload.external_id, payload.event) == (
        "refused",
        "call_1",
        "call_ended",
    )
    replay(payload=payload, by=BY)
    payload.refresh_from_db()
    assert payload.state == "refused"
    payload.body = examples.retell()
    payload.save()
    replay(payload=payload, by=BY)
    payload.refresh_from_db()
    assert (payload.state, payload.conversation) == ("taken", the_one())


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"{}", b'{"event":1}'])
@pytest.mark.parametrize("kind", ["retell", "vapi", "elevenlabs"])
def test_what_is_no_payload_is_refused(kind: str, body: bytes) -> None:
    answer = send(source_of(kind), body, signed(kind, body))
    assert answer.status_code in {200, 422}, answer.content
    assert IntakePayload.objects.get().state == (
        "taken" if answer.status_code == 200 else "refused"
    )


def test_a_death_in_between_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of("retell")

    def dies(*_: Any) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(receiver, "store_one", dies)
        body = json.dumps(examples.retell()).encode()
        with pytest.raises(RuntimeError):
            receiver.receive(source=source, headers=signed("retell", body), body=body)
    payload = IntakePayload.objects.get()
    assert payload.code == payloads.UNFINISHED
    replay(payload=payload, by=BY)
    assert the_one().external_id == "call_1"


def test_what_came_before_the_secret_is_verified_when_it_is_replayed() -> None:
    source = source_of("elevenlabs")
    IntakeSource.objects.update(secret_set_at=None)
    source.refresh_from_db()
    body = json.dumps(examples.elevenlabs()).encode()
    assert send(source, body, signed("elevenlabs", body)).json()["error"]["code"] == "no_secret"
    forged = body.replace(b"conv_e1", b"conv_e9")
    send(source, forged, signed("elevenlabs", forged, key="a guess"))
    set_secret(source=source, secret=KEY, by=BY)
    for payload in IntakePayload.objects.order_by("pk"):
        replay(payload=payload, by=BY)
    assert the_one().external_id == "conv_e1"
    left = IntakePayload.objects.get(state="refused")
    assert left.code == "bad_signature"


def test_a_stranger_fills_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "UNSIGNED_KEPT", 3)
    monkeypatch.setattr(payloads, "UNSIGNED_BYTES", 10)
    source = source_of("retell")
    for n in range(6):
        assert send(source, b"x" * 20 + str(n).encode(), {}).status_code == 401
    rows = IntakePayload.objects.all()
    assert [(row.cut, len(bytes(row.raw or b""))) for row in rows] == [(True, 10)] * 3
    assert rows[0].size == 21


def test_an_unknown_receiver_is_not_found() -> None:
    source = source_of("retell")
    source.kind = "vapi"
    assert send(source, examples.vapi()).status_code == 404


def test_an_erased_call_does_not_come_back() -> None:
    source = source_of("retell")
    send(source, examples.retell())
    erase(conversations=Conversation.objects.all(), by=BY, why="a test")
    assert send(source, examples.retell()).status_code == 200
    assert not Conversation.objects.exists()
    assert not IntakePayload.objects.exists()


# Agents


def test_the_map_goes_before_the_id_and_the_id_before_a_new_agent() -> None:
    source = source_of("retell")
    named, mapped = _configured(), _configured()
    Agent.objects.filter(pk=named.pk).update(external_id="agent_r")
    send(source, examples.retell())
    assert the_one().agent == named
    map_agent(source=source, external_id="agent_r", agent=mapped, by=BY)
    send(source, examples.retell(call_id="call_2"))
    assert Conversation.objects.get(external_id="call_2").agent == mapped
    send(source, examples.retell(call_id="call_3", agent_id=None))
    own = Conversation.objects.get(external_id="call_3").agent
    assert (own.name, own.unconfigured) == (source.name, True)


def test_one_agent_of_theirs_that_speaks_and_writes_is_two_of_ours() -> None:
    source = source_of("elevenlabs")
    send(source, examples.elevenlabs())
    text = copy.deepcopy(examples.elevenlabs(conversation_id="conv_t"))
    text["data"]["metadata"]["text_only"] = True
    for _ in range(2):
        assert send(source, text).status_code == 200
    assert set(Agent.objects.filter(external_id="agent_e").values_list("channel", flat=True)) == {
        "voice",
        "chat",
    }


def test_callers_who_withhold_their_number_are_not_one_contact() -> None:
    source = source_of("retell")
    send(source, examples.retell(direction="inbound", from_number="anonymous"))
    assert (the_one().from_number, the_one().contact) == ("anonymous", None)


# At the same instant


@pytest.mark.django_db(transaction=True)
def test_two_deliveries_at_the_same_instant() -> None:
    source = source_of("retell")

    def deliver(event: dict[str, Any]) -> int:
        try:
            return int(send(source, event).status_code)
        finally:
            close_old_connections()
            connection.close()

    events = [*ended_then_analyzed(), *ended_then_analyzed()]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(deliver, events)) == [200] * 4
    assert Agent.objects.count() == 1
    assert the_one().message_count == 10


# Retention, the command


def test_taken_payloads_go_after_a_month() -> None:
    source = source_of("retell")
    send(source, examples.retell())
    send(source, examples.retell(call_id="call_2", start_timestamp="never"))
    assert payloads.purge(now=timezone.now() + timedelta(days=29)) == 0
    assert payloads.purge(now=timezone.now() + timedelta(days=31)) == 1
    assert IntakePayload.objects.get().state == "refused"
    assert the_one().external_id == "call_1"


def test_the_command_prints_the_path_alone() -> None:
    out = StringIO()
    call_command(
        "create_intake_source",
        "vapi",
        "Sales",
        secret="s3cret",
        platform_analysis="wait",
        stdout=out,
    )
    source = IntakeSource.objects.get()
    assert out.getvalue() == f"/api/intake/vapi/{source.public_id}\n"
    assert (source.platform_analysis, source.wait_minutes) == ("wait", 10)
    with pytest.raises(CommandError, match="already exists"):
        call_command("create_intake_source", "vapi", "Sales", secret="s3cret")

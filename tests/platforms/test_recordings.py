"""A recording that doesn't play: a fresh address where there is a key, else the reason."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.actors import Actor
from apps.accounts.models import Role, User
from apps.conversations.models import Conversation
from apps.platforms.models import IntakePayload
from apps.platforms.recordings import recording_of
from apps.platforms.sources import create_source, map_agent
from tests.factories import make_agent, make_conversation
from tests.fakes.receiver import Answer, Receiver

pytestmark = [pytest.mark.django_db]
BY = Actor.system("tests")
FRESH = "https://files.example/fresh.wav?signature=1"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def server(settings: Any) -> Iterator[Receiver]:
    """A server of recordings and of Retell's API in one."""
    receiver = Receiver()
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = True
    settings.RETELL_API_URL = receiver.url.removesuffix("/hook")
    yield receiver
    receiver.close()


def a_call(source: str, url: str = "https://files.invalid/old.wav") -> Conversation:
    return make_conversation(make_agent(), source=source, external_id="call_1", recording_url=url)


def retell(name: str, key: str) -> Any:
    return create_source(kind="retell", name=name, secret=key, by=BY)


def gives_to(key: str) -> Any:
    def decide(received: Any) -> Answer:
        if received.headers.get("authorization") != f"Bearer {key}":
            return Answer(status=401)
        return Answer(status=200, body=json.dumps({"recording_url": FRESH}))

    return decide


def test_retell_gives_a_fresh_address_to_the_key_of_the_source(server: Receiver) -> None:
    retell("Sales", "key_sales")
    server.decide = gives_to("key_sales")
    found = recording_of(a_call("retell"), secure=True)
    assert found.url == FRESH
    assert [received.path for received in server.received] == ["/v2/get-call/call_1"]


def test_the_source_that_sent_the_call_is_asked(server: Receiver) -> None:
    one, other = retell("A", "key_a"), retell("B", "key_b")
    server.decide = gives_to("key_b")
    call = a_call("retell")
    assert recording_of(call, secure=True).url == FRESH  # neither is known: both are asked
    map_agent(source=one, external_id="agent_1", agent=call.agent, by=BY)
    assert "the API key of the source “A”" in recording_of(call, secure=True).reason
    IntakePayload.objects.create(
        source=other, body={}, event="call_ended", state="taken", conversation=call
    )
    assert recording_of(call, secure=True).url == FRESH


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(status=401), "Retell rejected the API key of the source “Sales”"),
        (Answer(status=404), "no longer has this call"),
        (Answer(status=500), "Retell returned 500"),
        (Answer(status=200, body="{}"), "has no recording of this call"),
        (Answer(status=200, body="[]"), "has no recording of this call"),
        (Answer(status=200, body="no JSON"), "has no recording of this call"),
        (Answer(status=200, body='{"recording_url": "javascript:alert(1)"}'), "has no recording"),
        (Answer(drop=True), "Retell didn’t respond"),
    ],
)
def test_why_retell_gives_none(server: Receiver, answer: Answer, reason: str) -> None:
    retell("Sales", "key_sales")
    server.always(answer)
    found = recording_of(a_call("retell"), secure=True)
    assert not found.url
    assert reason in found.reason
    assert found.platform == "Retell"


def test_without_a_source_nobody_is_asked(server: Receiver) -> None:
    assert "No source of Retell" in recording_of(a_call("retell"), secure=True).reason
    assert server.received == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(status=403), "returned 403: the address has expired or is private"),
        (Answer(status=404), "returned 404: the recording is no longer there"),
        (Answer(status=500), "returned 500."),
        (Answer(status=200, headers={"content-type": "text/html"}), "which isn’t a recording"),
        (Answer(status=206, headers={"content-type": "audio/wav"}), "this browser can’t play"),
        (Answer(drop=True), "can’t be reached"),
    ],
)
@pytest.mark.parametrize("source", ["api", "vapi"])
def test_why_an_address_does_not_play(
    server: Receiver, answer: Answer, reason: str, source: str
) -> None:
    server.always(answer)
    found = recording_of(a_call(source, server.url), secure=False)
    assert reason in found.reason
    assert ("webhook secret is not its API key" in found.reason) == (source == "vapi")
    assert bool(found.platform_url) == (source == "vapi")


def test_a_private_address_is_never_asked(settings: Any, server: Receiver) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = False
    assert "can’t be reached" in recording_of(a_call("api", server.url), secure=False).reason
    assert server.received == []


def test_an_address_without_tls_says_so_on_a_page_with_it() -> None:
    reason = recording_of(a_call("api", "http://files.invalid/a.wav"), secure=True).reason
    assert "begins with http://" in reason


def test_the_page_and_the_fragment(client: Client, server: Receiver) -> None:
    client.force_login(User.objects.create_user("v", role=Role.VIEWER))
    call = a_call("vapi", server.url)
    shown = client.get(reverse("analysis:conversation", args=[call.public_id])).content.decode()
    path = reverse("intake:recording", args=[call.public_id])
    assert f'data-recording="{path}"' in shown
    assert "Open the recording" in shown
    server.always(Answer(status=403))
    for headers, whole in (({}, True), (HTMX, False)):
        page = client.get(path, headers=headers).content.decode()
        assert ("<html" in page) == whole
        assert "has expired or is private" in page
        assert "https://dashboard.vapi.ai/" in page
    silent = make_conversation(make_agent())
    assert client.get(reverse("intake:recording", args=[silent.public_id])).status_code == 404

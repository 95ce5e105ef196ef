"""A body that is sent in chunks, without a length, does what the same body does with one."""

import json
import re
import urllib.parse
from collections.abc import Iterable
from typing import Any

import pytest
from django.contrib.sessions.models import Session

from apps.accounts.actors import Actor
from apps.accounts.keys import create_api_key
from apps.accounts.models import Role, User
from apps.agents.models import Agent
from apps.agents.services import publish
from apps.conversations.models import Conversation, Transcript
from tests.factories import edit_prompt, make_agent, make_conversation
from tests.platforms.mappings import examples
from tests.platforms.mappings.signing import signed, source_of

from .web import Web

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("faults")]

PASSWORD = "correct horse battery"
BY = Actor.system("tests")


def pieces(body: bytes) -> Iterable[bytes]:
    """The body in chunks of several sizes, one of a single byte among them."""
    yield body[:1]
    yield body[1:40]
    yield body[40:]


@pytest.fixture(params=["length", "chunks"])
def sent(request: pytest.FixtureRequest) -> Any:
    """How a body goes out."""
    return pieces if request.param == "chunks" else bytes


@pytest.fixture
def key() -> dict[str, str]:
    _, secret = create_api_key(name="chunks", role=Role.ADMIN, by=BY)
    return {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}


def published_agent() -> Agent:
    """An agent whose draft differs from its published version."""
    agent = make_agent()
    edit_prompt(agent, "One")
    publish(agent=agent, title="First", by=BY)
    edit_prompt(agent, "Two")
    return agent


def test_a_rerun_uses_the_version_that_was_asked_for(web: Web, key: Any, sent: Any) -> None:
    conversation = make_conversation(published_agent())
    path = f"/api/conversations/{conversation.public_id}/analysis/rerun"

    reply = web.ask("POST", path, sent(b'{"version": 0}'), key)

    assert (reply.status, reply.json()["agent_version"]) == (202, 0)


def test_a_draft_is_changed(web: Web, key: Any, sent: Any) -> None:
    agent = make_agent()
    body = json.dumps({"analysis": {"instructions": "CHANGED"}}).encode()

    reply = web.ask("PATCH", f"/api/agents/{agent.public_id}/draft", sent(body), key)

    assert reply.status == 200
    assert "CHANGED" in agent.versions.drafts().get().editor_document


def test_a_version_keeps_its_title(web: Web, key: Any, sent: Any) -> None:
    agent = make_agent()

    reply = web.ask(
        "POST", f"/api/agents/{agent.public_id}/publish", sent(b'{"title": "Named"}'), key
    )

    assert reply.status < 300, reply.body
    assert list(agent.versions.published().values_list("title", flat=True)) == ["Named"]


@pytest.mark.parametrize("kind", ["retell", "vapi", "elevenlabs"])
def test_a_platform_is_recognized_by_its_signature(web: Web, sent: Any, kind: str) -> None:
    source = source_of(kind)
    body = json.dumps(getattr(examples, kind)()).encode()

    reply = web.ask(
        "POST", f"/api/intake/{kind}/{source.public_id}", sent(body), signed(kind, body)
    )

    assert (reply.status, reply.json().get("state")) == (200, "taken")


def test_a_conversation_comes_in_whole(web: Web, key: Any, sent: Any) -> None:
    line = json.dumps(
        {
            "agent_id": make_agent().public_id,
            "channel": "voice",
            "messages": [{"role": "user", "content": "I was charged twice. " * 10_000}],
        }
    ).encode()

    alone = web.ask("POST", "/api/conversations", sent(line), key)
    bulk = web.ask(
        "POST",
        "/api/conversations/bulk",
        sent(line + b"\n" + line),
        {**key, "Content-Type": "application/x-ndjson"},
    )

    assert alone.status == 201
    assert bulk.json()["accepted"] == 2
    assert {len(t.messages[0]["content"]) for t in Transcript.objects.all()} == {21 * 10_000}


def test_a_person_signs_in(web: Web, sent: Any) -> None:
    User.objects.create_user("ada", password=PASSWORD, role=Role.VIEWER)
    page = web.ask("GET", "/login/")
    token = re.search(rb'name="csrfmiddlewaretoken" value="(\w+)"', page.body)
    assert token
    form = {"csrfmiddlewaretoken": token[1].decode(), "username": "ada", "password": PASSWORD}
    body = urllib.parse.urlencode(form).encode()
    head = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": page.headers["set-cookie"].split(";")[0],
    }

    reply = web.ask("POST", "/login/", sent(body), head)

    assert (reply.status, reply.headers.get("location")) == (302, "/")
    assert Session.objects.count() == 1


def test_what_breaks_off_is_not_done(web: Web, key: Any) -> None:
    line = json.dumps({"agent_id": make_agent().public_id, "channel": "voice", "messages": []})
    head = [f"{name}: {value}" for name, value in key.items()]
    post = ["POST /api/conversations HTTP/1.1", "Host: localhost", *head]

    with web.open(*post, "Transfer-Encoding: chunked", "") as client:
        client.sendall(f"{len(line):x}\r\n{line}\r\n".encode())  # and not the last chunk, of 0
    with web.open(*post, f"Content-Length: {len(line) + 1}", "", body=line.encode()):
        pass
    web.ask("GET", "/healthz")

    assert not Conversation.objects.exists()


def test_the_address_of_a_receiver_may_end_in_a_slash(web: Web) -> None:
    source = source_of("vapi")
    body = json.dumps(examples.vapi()).encode()

    reply = web.ask("POST", f"/api/intake/vapi/{source.public_id}/", body, signed("vapi", body))

    assert reply.status == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [("/login/?next=/caf%C3%A9/", 200), ("/caf%C3%A9/%2F", 404), ("/%ff/", 404), ("/%00", 404)],
)
def test_odd_paths_are_answered(web: Web, path: str, status: int) -> None:
    reply = web.ask("GET", path, headers={"Accept": "text/html", "Cookie": "a=\xe9"})

    # A stranger is sent to the sign-in page instead of being told that there is no page.
    assert reply.status in {status, 302}

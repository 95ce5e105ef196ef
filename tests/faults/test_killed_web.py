"""The web process killed in the middle of a bulk upload."""

import http.client
import json
import socket
import threading
from contextlib import closing
from typing import Any

import pytest

from apps.accounts.actors import Actor
from apps.accounts.keys import create_api_key
from apps.accounts.models import Role
from apps.analysis.models import Analysis
from apps.conversations.models import Conversation, Transcript
from apps.conversations.services import GROUP
from tests.factories import make_agent

from .harness import Workers, kill_whole, no_drum, wait_until

LINES = 2_000

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("faults")]


def upload(port: int, key: str, body: bytes) -> dict[str, Any]:
    """Send a bulk body; raises OSError or HTTPException where the server goes away."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"}
    with closing(connection):
        connection.request("POST", "/api/conversations/bulk", body, headers)
        report: dict[str, Any] = json.load(connection.getresponse())
        return report


def answers(port: int) -> bool:
    """the web server answers"""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def test_what_was_committed_stays_and_the_rest_comes_when_sent_again(workers: Workers) -> None:
    agent = make_agent()
    _, key = create_api_key(name="upload", role=Role.OPERATOR, by=Actor.system("tests"))
    messages = [{"role": "user", "content": "I was charged twice."}] * 4
    line = {"agent_id": agent.public_id, "channel": "voice", "messages": messages}
    body = "\n".join(json.dumps({**line, "external_id": f"u-{n}"}) for n in range(LINES)).encode()
    port = free_port()
    web = workers.start_web(port)
    wait_until(lambda: answers(port), drum=no_drum)
    told: list[object] = []

    def send() -> None:
        try:
            told.append(upload(port, key, body))
        except (OSError, http.client.HTTPException) as error:
            told.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    wait_until(lambda: Conversation.objects.count() >= GROUP, every=0.005, drum=no_drum)
    kill_whole(web)
    sender.join(timeout=30)

    assert isinstance(told[0], Exception), "it was quicker than the kill"
    kept = Conversation.objects.count()
    assert 0 < kept < LINES
    assert kept % GROUP == 0, "a group is there as a whole or not at all"
    assert Transcript.objects.count() == kept

    workers.start_web(port)
    wait_until(lambda: answers(port), drum=no_drum)
    report = upload(port, key, body)

    assert (report["unchanged"], report["accepted"]) == (kept, LINES - kept)
    assert (report["updated"], report["refused"]) == (0, 0)
    assert Conversation.objects.count() == Transcript.objects.count() == LINES
    per_conversation = Analysis.objects.values("conversation").distinct().count()
    assert Analysis.objects.count() == per_conversation <= LINES

"""Clients that are slow, in each of the ways to be slow, while everybody else is answered."""

import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from apps.accounts.actors import Actor
from apps.accounts.keys import create_api_key
from apps.accounts.models import Role
from apps.conversations.models import Attributes
from tests.factories import make_agent, make_conversations

from .harness import no_drum, wait_until
from .web import Web, cookie_of, crowd

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("faults")]

MANY = 50


@pytest.fixture
def key() -> str:
    """The header of an API key."""
    _, secret = create_api_key(name="fast", role=Role.ADMIN, by=Actor.system("tests"))
    return f"Bearer {secret}"


def assert_everybody_is_answered(web: Web, key: str) -> None:
    """Page, API, a form that is posted, and the health check; none waits for the slow ones."""
    assert web.ask("GET", "/healthz").status == 200
    assert web.ask("GET", "/login/").status == 200
    assert web.ask("GET", "/api/agents", headers={"Authorization": key}).status == 200
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert web.ask("POST", "/login/", b"username=a&password=b", form).status == 403  # no CSRF token


SLOW = {
    "a form that is announced and never sent": (
        ["POST /login/ HTTP/1.1", "Host: localhost", "Content-Length: 60", ""], b""
    ),
    "a form that is begun": (
        ["POST /login/ HTTP/1.1", "Host: localhost", "Content-Length: 60", ""], b"username="
    ),
    "a chunked body that is never begun": (
        ["POST /api/conversations HTTP/1.1", "Host: localhost", "Transfer-Encoding: chunked", ""],
        b"",
    ),
    "a bulk body that is begun": (
        ["POST /api/conversations/bulk HTTP/1.1", "Host: localhost",
         "Transfer-Encoding: chunked", ""],
        b"5\r\n{\"a\":\r\n",
    ),
    "a platform that sends nothing": (
        ["POST /api/intake/vapi/isrc_x HTTP/1.1", "Host: localhost", "Content-Length: 900", ""],
        b"",
    ),
    "a page with a body": (
        ["GET /login/ HTTP/1.1", "Host: localhost", "Content-Length: 9", ""], b""
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SLOW)
def test_slow_bodies_keep_nobody_waiting(web: Web, key: str, name: str) -> None:
    lines, begun = SLOW[name]

    with crowd(web, MANY, *lines, body=begun) as clients:
        assert_everybody_is_answered(web, key)
        first = clients[0].recv(4096)

    assert first.startswith(b"HTTP/1.1 408 ")


def test_dripping_bodies_keep_nobody_waiting(web: Web, key: str) -> None:
    head = ["POST /login/ HTTP/1.1", "Host: localhost", "Content-Length: 60", ""]

    with crowd(web, MANY, *head) as clients:
        for _ in range(4):
            for client in clients:
                client.sendall(b"x")
            assert_everybody_is_answered(web, key)
            time.sleep(0.2)


def test_slow_headers_and_idle_connections_keep_nobody_waiting(web: Web, key: str) -> None:
    begun, idle = ["GET /login/ HTTP/1.1", "Host: localhost"], ["GET /healthz HTTP/1.1",
        "Host: localhost", ""]  # fmt: skip

    with crowd(web, MANY, *begun), crowd(web, 300, *idle), crowd(web, MANY):
        assert_everybody_is_answered(web, key)


def test_readers_that_take_nothing_keep_nobody_waiting(web: Web, key: str) -> None:
    """More of them than there are threads, each with an export larger than any socket holds."""
    rows = make_conversations(make_agent(), 600)
    Attributes.objects.filter(conversation__in=rows).update(metadata={"note": "n" * 20_000})
    path = "/conversations-export/?channel=voice&columns=id&columns=metadata.note"
    cookie = cookie_of(Role.OPERATOR)
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", f"Cookie: {cookie}", ""]
    with crowd(web, 6, *lines) as clients:
        assert clients[0].recv(16).startswith(b"HTTP/1.1 200")
        assert_everybody_is_answered(web, key)

    whole = web.ask("GET", path, headers={"Cookie": cookie})
    assert whole.status == 200
    assert whole.body.count(b"\n") == 601
    assert len(whole.body) > 600 * 20_000


def spooled(web: Web) -> int:
    """How many bodies and responses the web process has on its disk: unlinked, but open."""
    whole = [psutil.Process(web.pid), *psutil.Process(web.pid).children(recursive=True)]
    opened = 0
    for process in whole:
        for entry in Path(f"/proc/{process.pid}/fd").iterdir():
            with suppress(OSError):
                opened += "/spool/" in str(entry.readlink())
    return opened


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_reader_that_stops_loses_its_connection(web: Web, key: str) -> None:
    rows = make_conversations(make_agent(), 600)
    Attributes.objects.filter(conversation__in=rows).update(metadata={"note": "n" * 20_000})
    path = "/conversations-export/?channel=voice&columns=id&columns=metadata.note"
    cookie = f"Cookie: {cookie_of(Role.OPERATOR)}"
    with crowd(web, 1, f"GET {path} HTTP/1.1", "Host: localhost", cookie, "") as (client,):
        wait_until(lambda: spooled(web) > 0, drum=no_drum)
        wait_until(lambda: spooled(web) == 0, drum=no_drum)
        received = b"".join(iter(lambda: client.recv(1024 * 1024), b""))

    assert b"n" * 20_000 in received
    assert not received.endswith(b"0\r\n\r\n"), "what broke off must not look whole"

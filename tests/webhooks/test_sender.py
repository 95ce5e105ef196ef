"""One try: what a receiver may do to it, and where it never goes."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from apps.core.guarded_client import KEPT_CHARACTERS
from apps.core.signed_requests import Outgoing, Reply, Sender
from apps.webhooks.claims import PER_ENDPOINT
from apps.work.host import Host
from tests.fakes.receiver import SECRET, Answer, Receiver

BODY = '{"event":"conversation.ended"}'


def send(url: str, body: str = BODY) -> Reply:
    async def once() -> Reply:
        sender = Sender()
        try:
            what = Outgoing(url, (SECRET,), "msg_1", body)
            return await sender.send(what, at=timezone.now())
        finally:
            await sender.aclose()

    return asyncio.run(once())


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_what_begins_with_2_is_a_success(receiver: Receiver, status: int) -> None:
    receiver.always(Answer(status))
    assert send(receiver.url).ok


@pytest.mark.parametrize(
    "date", ["soon", "Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "\u00b2", ", , ,"]
)
def test_a_retry_after_that_nobody_can_read_changes_nothing(receiver: Receiver, date: str) -> None:
    receiver.always(Answer(200, headers={"Retry-After": date}))
    reply = send(receiver.url)
    assert (reply.error, reply.retry_after) == ("", None)


@pytest.mark.parametrize("status", [400, 401, 404, 409, 429, 500, 502])
def test_all_else_is_a_failure_that_says_what(receiver: Receiver, status: int) -> None:
    receiver.always(Answer(status, body="no <b>thanks</b>"))
    reply = send(receiver.url)
    assert not reply.ok
    assert reply.error.startswith(f"The endpoint returned {status}")
    assert reply.response.endswith("\n\nno <b>thanks</b>")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(receiver: Receiver, status: int) -> None:
    inside = Receiver()
    try:
        receiver.always(Answer(status, headers={"Location": inside.url}))
        reply = send(receiver.url)
        assert inside.received == []
    finally:
        inside.close()
    assert inside.url in reply.error
    assert "aren’t followed" in reply.error
    assert reply.status == status


def test_no_answer_in_time(receiver: Receiver, settings: Any) -> None:
    settings.WEBHOOK_TIMEOUT_SECONDS = 0.2
    receiver.always(Answer(delay=1))
    reply = send(receiver.url)
    assert (reply.status, reply.error) == (None, "No response within 0.2 seconds.")


def test_a_body_that_drips_changes_nothing_about_the_verdict(
    receiver: Receiver, settings: Any
) -> None:
    settings.WEBHOOK_TIMEOUT_SECONDS = 0.3
    receiver.always(Answer(200, body="z" * 1000, drip=True))
    started = time.monotonic()

    reply = send(receiver.url)

    assert time.monotonic() - started < 2
    assert reply.ok
    assert "response interrupted" in reply.response


def test_of_a_huge_answer_only_the_beginning_is_read(receiver: Receiver) -> None:
    receiver.always(Answer(500, body="é" * 5_000_000))
    started = time.monotonic()

    reply = send(receiver.url)

    assert time.monotonic() - started < 5
    assert len(reply.response) <= KEPT_CHARACTERS
    assert "[truncated]" in reply.response


def test_what_is_kept_of_a_huge_request_is_cut(receiver: Receiver) -> None:
    reply = send(receiver.url, '{"x":"' + "y" * 100_000 + '"}')
    assert reply.ok
    assert len(reply.request) == KEPT_CHARACTERS
    assert len(receiver.received[0].body) > 100_000


def test_bytes_that_are_no_text_are_shown_all_the_same(receiver: Receiver) -> None:
    receiver.always(Answer(400, body="a\0b", headers={"X-Odd": "caf\u00e9"}))
    assert "a\ufffdb" in send(receiver.url).response


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1:1/", "Couldn’t connect: "),
        ("http://no-such-name.invalid/", "DNS lookup failed."),
        ("http://127.0.0.1:99999/", ""),
        ("http://exa mple/", ""),
    ],
)
def test_what_cannot_be_reached_says_why(url: str, sentence: str) -> None:
    reply = send(url)
    assert reply.status is None
    assert reply.error.startswith(sentence)
    assert reply.error


def test_a_connection_that_is_dropped(receiver: Receiver) -> None:
    receiver.always(Answer(drop=True))
    assert send(receiver.url).error == "The endpoint closed the connection without responding."


# Where it never goes


@pytest.fixture
def guarded(settings: Any) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = False


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("127.0.0.1", "private network"),
        ("0x7f000001", "private network"),
        ("localhost", "private network"),
        ("[::ffff:127.0.0.1]", "private network"),
        ("127.1", "URL is invalid"),
        ("2130706433", "URL is invalid"),
        ("017700000001", "URL is invalid"),
    ],
)
@pytest.mark.usefixtures("guarded")
def test_no_spelling_leads_to_this_machine(receiver: Receiver, host: str, why: str) -> None:
    reply = send(f"http://{host}:{receiver.port}/hook")
    assert why in reply.error
    assert receiver.received == []


Look = Callable[..., Any]


@pytest.mark.usefixtures("guarded")
def test_a_name_that_changes_its_address_is_caught_at_the_connection(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Public when the endpoint was saved, loopback when something is sent (DNS rebinding)."""
    looked_up: list[str] = []

    def rebound(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        looked_up.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    reply = send(f"http://rebinding.example:{receiver.port}/hook")

    assert looked_up == ["rebinding.example"]
    assert "private network" in reply.error
    assert receiver.received == []


@pytest.mark.usefixtures("guarded")
def test_proxies_of_the_environment_are_not_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would be asked for any address, and would go there."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{receiver.port}")
    reply = send("http://127.0.0.1/hook")
    assert "private network" in reply.error
    assert receiver.received == []


def test_names_that_nobody_answers_for_leave_the_others_their_look_ups(
    receiver: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEBHOOK_TIMEOUT_SECONDS = 2.0
    look_up, answered = socket.getaddrinfo, threading.Event()

    def hangs(host: Any, *args: Any, **kwargs: Any) -> Any:
        if str(host).startswith("hangs"):
            answered.wait(10)
        return look_up("localhost" if str(host).startswith("hangs") else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", hangs)

    async def beside() -> Reply:
        sender = Sender()
        at = timezone.now()
        hanging = [
            asyncio.create_task(
                sender.send(Outgoing(f"http://hangs{n}.test/", (SECRET,), "msg_1", BODY), at=at)
            )
            for n in range(PER_ENDPOINT * 3)
        ]
        await asyncio.sleep(0.05)  # until they have asked
        url = receiver.url.replace("127.0.0.1", "localhost")
        try:
            return await sender.send(Outgoing(url, (SECRET,), "msg_1", BODY), at=at)
        finally:
            answered.set()
            await asyncio.gather(*hanging)
            await sender.aclose()

    reply = asyncio.run_coroutine_threadsafe(beside(), Host().loop).result(30)

    assert reply.ok, reply.error

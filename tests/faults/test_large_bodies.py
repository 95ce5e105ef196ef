"""Bodies that are larger than their path needs: refused early, with memory flat."""

import threading
from collections.abc import Iterator

import pytest
from django.test import Client

from apps.accounts.actors import Actor
from apps.accounts.keys import create_api_key
from apps.accounts.models import Role, User
from apps.conversations.models import Conversation

from .web import Reply, Web

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("faults")]

MIB = 1024 * 1024
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ALLOWED_GROWTH = 200 * MIB
"""Of the resident memory of both processes: less than a sixth of what used to be taken."""


def zeros(size: int, *, begin: bytes = b"") -> Iterator[bytes]:
    """A body that is sent in chunks."""
    yield begin
    piece = b"a" * MIB
    for _ in range(size // MIB):
        yield piece


def key_of(role: Role) -> dict[str, str]:
    _, secret = create_api_key(name="large", role=role, by=Actor.system("tests"))
    return {"Authorization": f"Bearer {secret}"}


def at_once(web: Web, how_many: int, *request: object) -> list[Reply]:
    """The same request from several clients at the same time."""
    replies: list[Reply] = []
    threads = [
        threading.Thread(target=lambda: replies.append(web.ask(*request)))  # type: ignore[arg-type]
        for _ in range(how_many)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return replies


def test_sign_in_forms_of_63_mb_are_refused_and_memory_stays_flat(web: Web) -> None:
    before = web.memory()
    body = b"username=ada&password=" + b"x" * (63 * MIB)

    replies = at_once(web, 5, "POST", "/login/", body, FORM)

    assert [reply.status for reply in replies] == [413] * 5
    assert b"larger than 16 KiB. Nothing was changed." in replies[0].body
    assert web.memory() - before < ALLOWED_GROWTH


@pytest.mark.parametrize("path", ["/login/", "/", "/agents/new/", "/calls/", "/admin/", "/nowhere"])
def test_a_stranger_sends_no_more_than_a_form(web: Web, path: str) -> None:
    before = web.memory()

    reply = web.ask("POST", path, zeros(80 * MIB, begin=b"name="), FORM)

    assert reply.status == 413
    assert web.memory() - before < ALLOWED_GROWTH


@pytest.mark.parametrize("path", ["/api/conversations", "/api/conversations/bulk", "/api/agents",
                                  "/api/intake/vapi/isrc_unknown", "/api/nowhere"])  # fmt: skip
def test_a_stranger_sends_no_more_than_a_form_to_the_api(web: Web, path: str) -> None:
    wrong = {"Authorization": "Bearer dbk_12345678_" + "x" * 43}

    reply = web.ask("POST", path, zeros(80 * MIB), wrong)

    assert (reply.status, reply.json()["error"]["code"]) == (413, "too_large")


@pytest.mark.parametrize("path", ["/login/", "/agents/new/", "/people/new/"])
def test_uploads_to_pages_are_refused(web: Web, path: str) -> None:
    head = {"Content-Type": "multipart/form-data; boundary=x"}
    begin = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'

    reply = web.ask("POST", path, zeros(50 * MIB, begin=begin), head)

    assert reply.status == 415
    assert b"No page here accepts files." in reply.body


def test_a_bulk_line_without_an_end_is_refused_while_it_streams(web: Web) -> None:
    before = web.memory()
    lines = b'{"agent_id":"agt_x","channel":"voice","messages":[]}\n{"a":"'
    head = {**key_of(Role.OPERATOR), "Content-Type": "application/x-ndjson"}

    reply = web.ask("POST", "/api/conversations/bulk", zeros(700 * MIB, begin=lines), head)

    assert (reply.status, reply.json()["error"]["code"]) == (413, "too_large")
    assert reply.json()["error"]["message"] == "Line 2 is longer than 64 MiB. Nothing was imported."
    assert Conversation.objects.count() == 0
    assert web.memory() - before < ALLOWED_GROWTH


def test_large_bodies_of_known_senders_are_read(web: Web) -> None:
    operator = key_of(Role.OPERATOR)
    text = {"Content-Type": "application/json", **operator}

    alone = web.ask("POST", "/api/conversations", zeros(3 * MIB), text)
    bulk = web.ask(
        "POST",
        "/api/conversations/bulk",
        (b"{}\n" * 1_000 for _ in range(100)),
        {**operator, "Content-Type": "application/x-ndjson"},
    )

    assert (alone.status, alone.json()["error"]["code"]) == (400, "not_json")
    assert (bulk.status, bulk.json()["refused"]) == (200, 100_000)


def test_a_signed_in_person_sends_a_large_form(web: Web) -> None:
    client = Client()
    client.force_login(User.objects.create_user("ada", password="x", role=Role.EDITOR))
    cookie = {"Cookie": f"sessionid={client.cookies['sessionid'].value}"}
    body = b"name=" + b"x" * (2 * MIB)

    wide = web.ask("POST", "/agents/new/", body, {**FORM, **cookie})
    narrow = web.ask("POST", "/webhooks/new/", body, {**FORM, **cookie})
    stranger = web.ask("POST", "/agents/new/", body, FORM)

    assert wide.status == 403, "read, and then refused for the missing CSRF token"
    assert (narrow.status, stranger.status) == (413, 413)


def test_a_length_that_is_announced_is_refused_before_it_is_sent(web: Web) -> None:
    head = ["POST /login/ HTTP/1.1", "Host: localhost", "Content-Length: 70000000",
            "Expect: 100-continue", ""]  # fmt: skip
    with web.open(*head) as client:
        answer = client.recv(4096)

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_fragments_are_refused_in_a_sentence(web: Web) -> None:
    reply = web.ask("POST", "/login/", b"x" * 70_000, {**FORM, "HX-Request": "true"})

    assert reply.headers["content-type"].startswith("text/plain")
    assert reply.body.decode() == "The request body is larger than 16 KiB. Nothing was changed."

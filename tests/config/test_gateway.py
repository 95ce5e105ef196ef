"""The gateway's parts by themselves; tests/faults has it as the web process runs it."""

import asyncio
import io
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from config.gateway import bodies
from config.gateway.app import REFUSED, Gateway
from config.gateway.bodies import Body, read_body
from config.gateway.environ import build_environ, headers_of
from config.gateway.limits import KIB, MIB, STRANGER_BYTES, Limit, limit_of
from config.gateway.refusals import BodyRefused, ClientGone

Message = Mapping[str, Any]


_BODIES: list[Body] = []


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    """What a test has read is closed after it, as a request closes it."""
    yield
    while _BODIES:
        _BODIES.pop().file.close()


def arriving(*chunks: bytes | float, whole: bool = True) -> Callable[[], Awaitable[Message]]:
    """What a client sends: chunks, and pauses in seconds. Not whole: it then goes away."""
    script = list(chunks)

    async def receive() -> Message:
        while script:
            step = script.pop(0)
            if isinstance(step, bytes):
                return {
                    "type": "http.request",
                    "body": step,
                    "more_body": bool(script) or not whole,
                }
            await asyncio.sleep(step)
        if whole:
            return {"type": "http.request", "body": b"", "more_body": False}
        return {"type": "http.disconnect"}

    return receive


def read(
    receive: Callable[[], Awaitable[Message]],
    limit: Limit,
    folder: Path,
    *,
    announced: int | None = None,
    known: bool = True,
) -> Body:
    """Read a body to its end."""
    body = Body(limit, folder)
    _BODIES.append(body)

    async def is_known() -> bool:
        return known

    asyncio.run(read_body(receive, body, announced=announced, is_known=is_known))
    return body


def test_a_body_in_pieces_is_whole(tmp_path: Path) -> None:
    body = read(arriving(b"ab", b"", b"c"), Limit(KIB), tmp_path)

    assert (body.file.read(), body.length) == (b"abc", 3)


def test_large_bodies_lie_on_disk_and_leave_nothing(tmp_path: Path) -> None:
    pieces = [bytes([65 + n]) * 50_000 for n in range(4)]

    body = read(arriving(*pieces), Limit(MIB), tmp_path)

    assert not body.in_memory
    assert body.file.read() == b"".join(pieces)
    assert list(tmp_path.iterdir()) == [], "unlinked from its beginning"


@pytest.mark.parametrize("announced", [None, 2000])
def test_what_is_over_the_limit_is_refused(tmp_path: Path, announced: int | None) -> None:
    with pytest.raises(BodyRefused, match=r"larger than 1 KiB\. Nothing was changed\.") as refused:
        read(arriving(b"x" * 600, b"x" * 1400), Limit(KIB), tmp_path, announced=announced)

    assert (refused.value.status, refused.value.code) == (413, "too_large")


@pytest.mark.parametrize("announced", [None, STRANGER_BYTES + 1])
def test_only_who_is_known_sends_more_than_a_form(tmp_path: Path, announced: int | None) -> None:
    chunks = [b"x" * 40_000] * 2
    read(arriving(*chunks), Limit(MIB), tmp_path)

    with pytest.raises(BodyRefused, match="signed-in sender can send more than 64 KiB"):
        read(arriving(*chunks), Limit(MIB), tmp_path, announced=announced, known=False)


@pytest.mark.parametrize(
    ("chunks", "line"),
    [
        ([b"12345678901"], 1),
        ([b"1234567890", b"1"], 1),
        ([b"1234567890\n12345", b"678901"], 2),
        ([b"1\n2\n3\n", b"12345678", b"901\n"], 4),
        ([b"1\n12345678901\n3\n"], None),  # shorter than what arrives at once: read, then refused
        ([b"1234567890\n1234567890", b"\n", b"1234567890"], None),
    ],
)
def test_a_line_without_an_end_is_refused(
    tmp_path: Path, chunks: Iterable[bytes], line: int | None
) -> None:
    limit = Limit(KIB, line=10)
    if line is None:
        read(arriving(*chunks), limit, tmp_path)
        return
    with pytest.raises(BodyRefused, match=rf"Line {line} is longer than"):
        read(arriving(*chunks), limit, tmp_path)


def test_who_says_nothing_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "SILENCE_SECONDS", 0.05)

    with pytest.raises(BodyRefused) as refused:
        read(arriving(b"x", 5.0, b"y"), Limit(KIB), tmp_path)

    assert refused.value.status == 408


def test_who_drips_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "GRACE_SECONDS", 0.1)

    with pytest.raises(BodyRefused, match="did not arrive in time"):
        read(arriving(*(b"x", 0.02) * 1_000), Limit(KIB), tmp_path)


@pytest.mark.parametrize("announced", [None, 100])
def test_what_breaks_off_is_no_body(tmp_path: Path, announced: int | None) -> None:
    with pytest.raises(ClientGone):
        read(arriving(b"x", whole=False), Limit(KIB), tmp_path, announced=announced)


def test_a_folder_that_takes_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(BodyRefused, match="can't store the request body: Not a directory") as error:
        read(arriving(b"x" * 70_000), Limit(MIB), tmp_path / "file" / "spool")

    assert error.value.status == 507


SCOPE: dict[str, Any] = {
    "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": "/a b",
    "raw_path": b"/a%20b%ff", "query_string": b"q=%20", "server": ("127.0.0.1", "80"),
    "client": ("::1", "1234"), "headers": [],
}  # fmt: skip


def test_headers_cannot_pass_for_others() -> None:
    raw = [
        (b"x-forwarded-proto", b"http"),
        (b"x_forwarded_proto", b"https"),
        (b"cookie", b"a=1"),
        (b"cookie", b"b=2"),
        (b"x-forwarded-for", b"192.0.2.1"),
        (b"x-forwarded-for", b"192.0.2.2"),
        (b"host", b"one"),
        (b"host", b"two"),
    ]

    assert headers_of({**SCOPE, "headers": raw}) == {
        "x-forwarded-proto": "http",
        "cookie": "a=1; b=2",
        "x-forwarded-for": "192.0.2.1,192.0.2.2",
        "host": "one",
    }


def test_django_reads_the_length_of_what_arrived() -> None:
    headers = {"transfer-encoding": "chunked", "content-type": "text/plain", "x-a": "1"}

    environ = build_environ(SCOPE, headers, io.BytesIO(b"abc"), 3)

    assert environ["CONTENT_LENGTH"] == "3"
    assert environ["PATH_INFO"] == "/a b\xff"
    assert (environ["REMOTE_ADDR"], environ["CONTENT_TYPE"]) == ("::1", "text/plain")
    assert environ["HTTP_X_A"] == "1"
    assert "HTTP_TRANSFER_ENCODING" not in environ


@pytest.mark.parametrize(
    ("method", "path", "size"),
    [
        ("POST", "/login/", 16 * KIB),
        ("POST", "/people/new/", 1 * MIB),
        ("POST", "/agents/agt_x/fields/", 8 * MIB),
        ("PATCH", "/api/agents/agt_x/draft", 8 * MIB),
        ("POST", "/contacts/import/", 32 * MIB),
        ("POST", "/api/conversations", 64 * MIB),
        ("POST", "/api/intake/vapi/isrc_x", 64 * MIB),
        ("GET", "/agents/", 64 * KIB),
        ("DELETE", "/anywhere/", 1 * MIB),
    ],
)
def test_a_path_takes_what_it_needs(method: str, path: str, size: int) -> None:
    assert limit_of(method, path).size == size


def test_files_are_taken_where_a_page_uploads_them() -> None:
    assert limit_of("POST", "/contacts/import/").multipart
    assert not limit_of("POST", "/contacts/new/").multipart


def answer_of(gateway: Gateway, scope: Message, receive: Callable[[], Awaitable[Message]]) -> Any:
    """Status and body of one request."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(gateway(scope, receive, send))
    return sent[0]["status"], b"".join(part.get("body", b"") for part in sent[1:])


def test_too_many_requests_are_turned_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.gateway.app.QUEUE_LIMIT", 0)
    gateway = Gateway(lambda *_: [b"x"], threads=1, folder=tmp_path, is_known=lambda _: True)

    status, text = answer_of(gateway, SCOPE, arriving())

    assert (status, text[:19]) == (503, b"The server is busy.")


def test_a_sender_that_cannot_be_looked_up_may_try_again(tmp_path: Path) -> None:
    def app(environ: dict[str, Any], start: Callable[..., None]) -> list[bytes]:
        start(f"{environ[REFUSED].status} No", [])
        return [environ[REFUSED].code.encode()]

    def is_known(environ: dict[str, Any]) -> bool:
        raise OSError("the database is away")

    gateway = Gateway(app, threads=1, folder=tmp_path, is_known=is_known)
    scope = {**SCOPE, "method": "POST", "headers": [(b"transfer-encoding", b"chunked")]}

    assert answer_of(gateway, scope, arriving(b"x" * 70_000)) == (503, b"unavailable")


def test_slow_readers_do_not_count_as_waiting(tmp_path: Path) -> None:
    gateway = Gateway(lambda *_: [b"x"], threads=1, folder=tmp_path, is_known=lambda _: True)
    waiting: list[int] = []

    async def read_slowly() -> None:
        async def send(message: Message) -> None:
            await asyncio.sleep(0.01)
            waiting.append(gateway._light.requests)

        await gateway(SCOPE, arriving(), send)

    asyncio.run(read_slowly())

    assert waiting == [0, 0]


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000])
def test_a_response_arrives_whole(tmp_path: Path, size: int) -> None:
    whole = bytes(n % 251 for n in range(size))

    def app(environ: dict[str, Any], start: Callable[..., None]) -> list[bytes]:
        start("200 OK", [("Content-Length", str(size))])
        return [whole[:10], whole[10:]]

    gateway = Gateway(app, threads=1, folder=tmp_path, is_known=lambda _: True)

    assert answer_of(gateway, SCOPE, arriving()) == (200, whole)

"""Run the WSGI application in a thread, and send its response at the pace of the client.

The thread never waits for the client: a whole response is handed over at once, and a streamed one
goes through an unlinked file, from which the event loop sends. A reader that takes nothing for
`STALL_SECONDS` loses its connection.
"""

import asyncio
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.gateway.refusals import ClientGone

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
WsgiApp = Callable[[dict[str, Any], Any], Any]
Part = dict[str, Any]

logger = logging.getLogger(__name__)

CHUNK_BYTES = 64 * 1024
WHOLE_BYTES = 4 * 1024 * 1024
"""A response that announces a length up to this is sent from memory: pages, static files."""
STALL_SECONDS = 30.0


@dataclass(slots=True)
class Head:
    """The status and headers of a response, as `start_response` receives them."""

    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    length: int | None = None

    def start(self, status: str, headers: list[tuple[str, str]], *_: object) -> None:
        """Note them; this is WSGI's `start_response`."""
        self.status = int(status.split(" ", 1)[0])
        self.headers = [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in headers]
        lengths = [int(value) for name, value in self.headers if name == b"content-length"]
        self.length = lengths[0] if lengths else None

    def message(self) -> Part:
        """Return it as an ASGI message."""
        return {"type": "http.response.start", "status": self.status, "headers": self.headers}


class Overflow:
    """A streamed response between the thread that makes it and the loop that sends it."""

    def __init__(self, folder: Path, loop: asyncio.AbstractEventLoop) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 (closed below)
        self._loop = loop
        self._news = asyncio.Event()
        self.ended = False
        self.failed = False

    def write(self, chunk: bytes) -> None:
        """Add a part, in the thread."""
        self._file.write(chunk)
        self._loop.call_soon_threadsafe(self._news.set)

    def end(self, *, failed: bool) -> None:
        """Say that this is all, in the thread. What `failed` must not look whole to the client."""
        self.failed = failed
        self.ended = True  # last: the loop reads both without a lock
        self._loop.call_soon_threadsafe(self._news.set)

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield what has been written, as it comes. Raises ClientGone after a failure."""
        sent = 0
        while True:
            ended = self.ended  # before looking: what is written after the look is seen next time
            part = os.pread(self._file.fileno(), CHUNK_BYTES, sent)
            if part:
                sent += len(part)
                yield part
            elif ended and self.failed:
                raise ClientGone
            elif ended:
                return
            else:
                await self._news.wait()
                self._news.clear()

    def close(self) -> None:
        """Give the space back."""
        self._file.close()


def _closing(result: Iterable[bytes]) -> Generator[bytes]:
    try:
        yield from result
    finally:
        if close := getattr(result, "close", None):
            close()


@dataclass(slots=True)
class Run:
    """One run of the application, in a thread, and its output."""

    app: WsgiApp
    environ: dict[str, Any]
    folder: Path
    loop: asyncio.AbstractEventLoop
    head: Head = field(default_factory=Head)
    abandoned: bool = False
    body: "asyncio.Future[bytes | Overflow]" = field(init=False)

    def __post_init__(self) -> None:
        self.body = self.loop.create_future()

    def work(self) -> None:
        """Do it: a whole response is handed over at its end, a streamed one at its start."""
        if self.abandoned:
            self._hand_over(b"")
            return
        result = self.app(self.environ, self.head.start)
        parts = _closing(result)
        short = self.head.length is not None and self.head.length <= WHOLE_BYTES
        if short or not getattr(result, "streaming", False):
            self._hand_over(b"".join(parts))
        else:
            overflow = Overflow(self.folder, self.loop)
            self._hand_over(overflow)
            self._fill(overflow, parts)

    def _fill(self, overflow: Overflow, parts: Generator[bytes]) -> None:
        """Write all parts, in pieces that are worth a system call."""
        waiting: list[bytes] = []
        size, failed = 0, True
        try:
            for part in parts:
                waiting.append(part)
                size += len(part)
                if size >= CHUNK_BYTES:
                    overflow.write(b"".join(waiting))
                    waiting, size = [], 0
                if self.abandoned:
                    return
            overflow.write(b"".join(waiting))
            failed = False
        except Exception:
            logger.exception("A streamed response broke off")
        finally:
            parts.close()
            overflow.end(failed=failed)

    def _hand_over(self, body: bytes | Overflow) -> None:
        self.loop.call_soon_threadsafe(self._settle, body)

    def _settle(self, body: bytes | Overflow) -> None:
        if not self.body.done():
            self.body.set_result(body)


async def respond(
    run: Run, job: "asyncio.Future[None]", *, send: Send, receive: Receive | None = None
) -> None:
    """Send the response of a run whose `work` is `job`.

    With `receive` the client is watched: a run that waits or streams ends when it has gone.
    """
    watch = run.loop.create_task(_abandon(run, receive)) if receive else None
    try:
        either: list[asyncio.Future[Any]] = [job, run.body]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if job.done():
            job.result()  # raises what the application raised
        body = await run.body
        if isinstance(body, bytes):
            await _send_whole(send, run.head, body)
        else:
            await _send_streamed(send, run, body, job)
    finally:
        if watch is not None:
            watch.cancel()


async def _abandon(run: Run, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    run.abandoned = True


async def _send_whole(send: Send, head: Head, body: bytes) -> None:
    await send(head.message())
    for start in range(0, len(body) - CHUNK_BYTES, CHUNK_BYTES):
        await _send_part(send, body[start : start + CHUNK_BYTES])
    rest = len(body) % CHUNK_BYTES or min(len(body), CHUNK_BYTES)
    await send({"type": "http.response.body", "body": body[len(body) - rest :]})


async def _send_streamed(send: Send, run: Run, body: Overflow, job: "asyncio.Future[None]") -> None:
    try:
        await send(run.head.message())
        async for part in body.parts():
            await _send_part(send, part)
        await send({"type": "http.response.body", "body": b""})
    finally:
        run.abandoned = True
        await asyncio.wait([job])
        body.close()


async def _send_part(send: Send, part: bytes) -> None:
    try:
        async with asyncio.timeout(STALL_SECONDS):
            await send({"type": "http.response.body", "body": part, "more_body": True})
    except TimeoutError:
        raise ClientGone from None

"""Read the body of a request within its limits: size, line, sender, time.

What arrives is buffered, in memory up to `MEMORY_BYTES` and in an unlinked file after that, so that
the application reads it at full speed and always knows its length, however it was sent.
"""

import asyncio
import contextlib
import io
import logging
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from config.gateway import refusals
from config.gateway.limits import STRANGER_BYTES, Limit

Receive = Callable[[], Awaitable[Mapping[str, Any]]]

logger = logging.getLogger(__name__)

MEMORY_BYTES = 64 * 1024
SILENCE_SECONDS = 15.0
"""The longest pause within a body."""
GRACE_SECONDS = 20.0
BYTES_PER_SECOND = 8 * 1024
"""The slowest rate of a body, once the grace is over."""
DRAIN_SECONDS = 20.0
"""How long a rejected body is thrown away: many clients read no response before they have sent."""


@dataclass(slots=True)
class Body:
    """A body while it arrives, and as a file afterward."""

    limit: Limit
    folder: Path
    length: int = 0
    file: IO[bytes] = field(default_factory=io.BytesIO)
    in_memory: bool = True
    is_of_known: bool = False
    _lines: int = 1
    _line_bytes: int = 0

    def write(self, chunk: bytes) -> None:
        """Add received bytes. Raises BodyRefused for a size, a line or a disk that is exceeded."""
        self.length += len(chunk)
        if self.length > self.limit.size:
            raise refusals.too_large(self.limit.size)
        if self.limit.line is not None:
            self._measure_lines(chunk, self.limit.line)
        with self._storing():
            if self.in_memory and self.length > MEMORY_BYTES:
                self._move_to_disk()
            self.file.write(chunk)

    def rewind(self) -> None:
        """Make it readable from its start. Raises BodyRefused where the disk is full."""
        with self._storing():
            self.file.seek(0)

    @contextlib.contextmanager
    def _storing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            logger.warning("Request bodies cannot be buffered in %s: %s", self.folder, error)
            raise refusals.not_storable(error) from None

    def _move_to_disk(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 (closed with the request)
        file.write(self.file.getvalue())  # type: ignore[attr-defined]  # a BytesIO until now
        self.file, self.in_memory = file, False

    def _measure_lines(self, chunk: bytes, longest: int) -> None:
        """Chunks are far shorter than a line may be: only the ends of lines need a look."""
        end = chunk.find(b"\n")
        self._line_bytes += len(chunk) if end < 0 else end
        if self._line_bytes > longest:
            raise refusals.line_too_long(self._lines, longest)
        if end >= 0:
            self._lines += chunk.count(b"\n")
            self._line_bytes = len(chunk) - chunk.rfind(b"\n") - 1


async def read_body(
    receive: Receive,
    body: Body,
    *,
    announced: int | None,
    is_known: Callable[[], Awaitable[bool]],
) -> None:
    """Fill `body` with what the client sends.

    `announced` is its Content-Length, None where it is sent in chunks. `is_known` says whether the
    sender may send more than a stranger; it is asked once, and only then. Raises BodyRefused, or
    ClientGone.
    """
    deadline = _Deadline()
    if announced is not None:
        if announced > body.limit.size:
            raise refusals.too_large(body.limit.size)
        await _vouch(body, announced, is_known, deadline)
    more = True
    while more:
        message = await _next(receive, min(SILENCE_SECONDS, deadline.left(body.length)))
        if chunk := message.get("body", b""):
            body.write(chunk)
            await _vouch(body, body.length, is_known, deadline)
        more = message.get("more_body", False)
    if announced is not None and body.length < announced:
        raise refusals.ClientGone
    body.rewind()


async def _vouch(
    body: Body, length: int, is_known: Callable[[], Awaitable[bool]], deadline: "_Deadline"
) -> None:
    """Raise BodyRefused for a stranger who sends more than strangers may."""
    if body.is_of_known or length <= STRANGER_BYTES:
        return
    begun = time.monotonic()
    if not await is_known():
        raise refusals.unknown_sender(STRANGER_BYTES)
    body.is_of_known = True
    deadline.begun += time.monotonic() - begun  # waiting for a thread is not the client's fault


@dataclass(slots=True)
class _Deadline:
    begun: float = field(default_factory=time.monotonic)

    def left(self, arrived: int) -> float:
        """Return the seconds until this many bytes are too few."""
        return self.begun + GRACE_SECONDS + arrived / BYTES_PER_SECOND - time.monotonic()


async def drain(receive: Receive) -> None:
    """Throw away what still arrives, for a while."""
    with contextlib.suppress(TimeoutError, refusals.BodyRefused, refusals.ClientGone):
        async with asyncio.timeout(DRAIN_SECONDS):
            while (await _next(receive, SILENCE_SECONDS)).get("more_body"):
                pass


async def _next(receive: Receive, seconds: float) -> Mapping[str, Any]:
    if seconds <= 0:
        raise refusals.too_slow()
    try:
        async with asyncio.timeout(seconds):
            message = await receive()
    except TimeoutError:
        raise refusals.too_slow() from None
    if message["type"] == "http.disconnect":
        raise refusals.ClientGone
    return message

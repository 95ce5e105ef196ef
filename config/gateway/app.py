"""The ASGI application in front of Django: bodies first, threads second."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.gateway import refusals
from config.gateway.bodies import Body, Receive, drain, read_body
from config.gateway.environ import build_environ, headers_of
from config.gateway.limits import MIB, limit_of
from config.gateway.refusals import BodyRefused, ClientGone
from config.gateway.responses import Run, Send, WsgiApp, respond

HEAVY_BYTES = 1 * MIB
HEAVY_THREADS = 2
QUEUE_LIMIT = 1_000
REFUSED = "debrief.refused"
"""Key of the environ under which Django finds a BodyRefused (apps/api/middleware.py)."""

Environ = dict[str, Any]
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Pool:
    """Threads, and how many requests are in them or wait for them."""

    executor: ThreadPoolExecutor
    requests: int = 0

    def start(self, run: Run) -> "asyncio.Future[None]":
        """Let a thread do the run. It counts until then, however long it is sent."""
        job = run.loop.run_in_executor(self.executor, run.work)
        self.requests += 1
        job.add_done_callback(self._count_down)
        return job

    def _count_down(self, job: "asyncio.Future[None]") -> None:
        self.requests -= 1


class Gateway:
    """Receives requests whole, within their limits, and gives each to a thread.

    Large bodies and streamed responses have two threads of their own: whatever they cost, pages
    and small requests do not wait for them, and no more than two of them are in memory.
    `is_known` returns for an environ, in a thread, whether the sender is authenticated.
    """

    def __init__(
        self, app: WsgiApp, *, threads: int, folder: Path, is_known: Callable[[Environ], bool]
    ) -> None:
        self._app = app
        self._folder = folder
        self._is_known = is_known
        self._light = Pool(ThreadPoolExecutor(threads, "web"))
        self._heavy = Pool(ThreadPoolExecutor(HEAVY_THREADS, "web-heavy"))

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Respond to one request."""
        if scope["type"] != "http":
            return
        headers = headers_of(scope)
        limit = limit_of(scope["method"], scope["path"])
        body = Body(limit, self._folder)
        try:
            refused = await self._receive(scope, headers, receive, body)
            if refused is not None:
                body.file.close()
                body = Body(limit, self._folder)
            environ = build_environ(scope, headers, body.file, body.length)
            if refused is not None:
                environ[REFUSED] = refused
            if refused is None and (limit.streamed or body.length > HEAVY_BYTES):
                await self._respond(environ, send, self._heavy, receive)
            else:
                await self._respond(environ, send, self._light)
        except ClientGone:
            return  # granian breaks off a response that was begun and is not whole
        finally:
            body.file.close()

    async def _receive(
        self, scope: Mapping[str, Any], headers: Mapping[str, str], receive: Receive, body: Body
    ) -> BodyRefused | None:
        """Fill the body; the rejection where it must not, or does not, arrive whole."""
        announced = headers.get("content-length")
        if not announced and "transfer-encoding" not in headers and scope["http_version"] < "2":
            return None  # no body
        try:
            if announced is not None and not announced.isdecimal():
                raise refusals.invalid_length()
            if _is_multipart(headers) and not body.limit.multipart:
                raise refusals.no_files()
            await read_body(
                receive,
                body,
                announced=None if announced is None else int(announced[:20]),
                is_known=lambda: self._ask(scope, headers),
            )
        except BodyRefused as refused:
            is_waiting = body.length == 0 and "expect" in headers  # to be told to send
            if refused.status != refusals.too_slow().status and not is_waiting:
                await drain(receive)
            return refused
        return None

    async def _ask(self, scope: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
        environ = build_environ(scope, headers, Body(limit_of("GET", ""), self._folder).file, 0)
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._light.executor, self._is_known, environ)
        except Exception as error:
            logger.exception("The sender of a large body cannot be looked up")
            raise refusals.unavailable() from error

    async def _respond(
        self, environ: Environ, send: Send, pool: Pool, receive: Receive | None = None
    ) -> None:
        """Run the application in the pool; with `receive`, not for a client that is gone."""
        if pool.requests >= QUEUE_LIMIT:
            await _turn_away(send)
            return
        run = Run(self._app, environ, self._folder, asyncio.get_running_loop())
        await respond(run, pool.start(run), send=send, receive=receive)


async def _turn_away(send: Send) -> None:
    """Respond without a thread: too many requests are waiting."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"retry-after", b"5")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    text = "The server is busy. Nothing was changed. Try again in a moment.\n"
    await send({"type": "http.response.body", "body": text.encode()})


def _is_multipart(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").strip().lower().startswith("multipart/")

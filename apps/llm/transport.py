"""HTTP for the openai library over aiohttp: capped, timed as a whole, cheap.

The library's own aiohttp transport reads without a limit, times each read instead of the whole
response (a server that drips one byte a second is never late), and reports a connection that was
reset as a time-out. This one does none of that, at a third less CPU per request.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import aiohttp
import httpx2

MAX_ANSWER_BYTES = 4 * 1024 * 1024
_CONNECT_SECONDS = 10.0
# The body is handed on decoded and whole, so these would lie about it.
_DROPPED_HEADERS = frozenset((b"content-encoding", b"content-length", b"transfer-encoding"))
_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy")


@cache
def trusted() -> ssl.SSLContext:
    """Return the certificates that servers are checked against.

    Reading them takes 30 ms of CPU, so all clients of a process share them.
    """
    context: ssl.SSLContext = httpx2.create_ssl_context()
    return context


class AnswerTooLongError(Exception):
    """The server sent more than ``MAX_ANSWER_BYTES``; the connection was closed."""


class Written(NamedTuple):
    """All of a request but its body."""

    method: str
    url: str
    headers: Sequence[tuple[str, str]]


class Received(NamedTuple):
    """A response; its content is decoded. ``headers`` don't mind the case of names."""

    status: int
    headers: Mapping[str, str]
    raw_headers: Sequence[tuple[bytes, bytes]]
    content: bytes


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """One aiohttp session, made in the event loop of the first request."""

    def __init__(self, max_bytes: int = MAX_ANSWER_BYTES) -> None:
        self._max_bytes = max_bytes
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        seconds = request.extensions.get("timeout", {}).get("read")
        written = Written(request.method, str(request.url), request.headers.multi_items())
        received = await self.exchange(written, request.content, seconds)
        headers = [
            (name, value)
            for name, value in received.raw_headers
            if name.lower() not in _DROPPED_HEADERS
        ]
        return httpx2.Response(
            received.status, headers=headers, content=received.content, request=request
        )

    async def exchange(self, written: Written, body: bytes, seconds: float | None) -> Received:
        """Send one request and return its response, whole.

        Raises httpx2.ReadTimeout, httpx2.NetworkError, and AnswerTooLongError.
        """
        session = self._session or self._open()
        try:
            async with session.request(
                written.method,
                written.url,
                data=body,
                headers=written.headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS),
            ) as response:
                content = await self._read(response)
                return Received(response.status, response.headers, response.raw_headers, content)
        except TimeoutError as error:  # aiohttp's time-outs are all of this kind
            raise httpx2.ReadTimeout("no response in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise httpx2.NetworkError(str(error) or type(error).__name__) from error

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > self._max_bytes:
                response.close()
                raise AnswerTooLongError
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _open(self) -> aiohttp.ClientSession:
        # Looking proxies up for each request costs as much as the request: only where there are.
        proxies = any(os.environ.get(name) for name in _PROXY_VARIABLES)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=trusted(), keepalive_timeout=30),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=proxies,
        )
        return self._session

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

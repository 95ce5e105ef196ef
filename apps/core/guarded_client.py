"""The HTTP client for addresses that people type: guarded, without proxies, and truncated."""

import asyncio
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from .addresses import REFUSAL, AddressRefused, guarded_socket

CONNECT_SECONDS = 10.0
LOOK_UPS = 64
"""Names that are looked up at the same time."""
KEPT_CHARACTERS = 20_000
"""The stored part of a request and of a response: a receiver may return anything."""
LONGEST_WAIT = timedelta(days=1)
_READ_BYTES = 16_384


class _Resolver(AbstractResolver):
    """Look names up in its own threads.

    A name server that doesn't respond holds a thread for half a minute. In the loop's few threads,
    one such endpoint would hold up all the others, and requests to models, too.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(LOOK_UPS, thread_name_prefix="look-up")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        look_up = partial(
            socket.getaddrinfo, host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        found = await asyncio.get_running_loop().run_in_executor(self._pool, look_up)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        self._pool.shutdown(wait=False)


class GuardedClient:
    """A client that never connects to private addresses: made and closed in its event loop."""

    def __init__(self) -> None:
        self._resolver = _Resolver()
        connector = aiohttp.TCPConnector(
            limit=0,
            socket_factory=guarded_socket,
            resolver=self._resolver,
            use_dns_cache=False,
            keepalive_timeout=10,
        )
        # No proxy and no password file of the environment: both would go past the guard.
        self.session = aiohttp.ClientSession(
            connector=connector,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        )

    async def aclose(self) -> None:
        await self.session.close()
        await self._resolver.close()


def retry_after(header: str, now: datetime) -> timedelta | None:
    """Return what ``Retry-After`` asks for, in seconds or by a date; None if it is invalid."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:9]), int(LONGEST_WAIT.total_seconds())))
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max(at - now, timedelta(0)), LONGEST_WAIT)


async def beginning(response: aiohttp.ClientResponse, deadline: float) -> str:
    """Return the first part of the body, as text. The status decides: a body that is long, slow
    or broken changes nothing about it, and the rest of it is not read."""
    body = b""
    try:
        async with asyncio.timeout_at(deadline):
            while len(body) < _READ_BYTES and (part := await response.content.read(_READ_BYTES)):
                body += part
    except (TimeoutError, aiohttp.ClientError, OSError):
        return _text(body) + "\n[response interrupted]"
    cut = "\n[truncated]" if len(body) >= _READ_BYTES else ""
    return _text(body[:_READ_BYTES]) + cut


def _text(body: bytes) -> str:
    return body.decode(errors="replace").replace("\0", "\ufffd")


def kept(headers: Mapping[str, str], body: str) -> str:
    """Return headers, an empty line, and the body, truncated to the stored length."""
    lines = "".join(f"{name}: {value}\n" for name, value in headers.items())
    text = (lines + "\n" + body).replace("\0", "\ufffd")
    text = text.encode(errors="replace").decode()
    return text if len(text) <= KEPT_CHARACTERS else text[: KEPT_CHARACTERS - 1] + "…"


def failure_text(error: Exception, seconds: float) -> str:
    """Return a connection failure as a message. TimeoutError first: some are of both kinds."""
    if isinstance(error, TimeoutError):
        return f"No response within {seconds:g} seconds."
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, AddressRefused):
        return f"{REFUSAL}: nothing was sent."
    if isinstance(error, aiohttp.InvalidURL):
        return "The URL is invalid: write its host name or IP address in the standard form."
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "DNS lookup failed."
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return f"TLS connection failed: {cause}"[:500]
    if isinstance(cause, OSError) and isinstance(error, aiohttp.ClientConnectorError):
        return f"Couldn’t connect: {cause.strerror or cause}"[:500]
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionError):
        return "The endpoint closed the connection without responding."
    return f"{type(error).__name__}: {error}"[:500]

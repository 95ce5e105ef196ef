"""One attempt at a delivery: a signed POST and the response. Knows nothing of the database."""

import asyncio
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from django.conf import settings

from apps.core.addresses import REFUSAL, AddressRefused, guarded_socket

from . import schedule, signature
from .models import KEPT_CHARACTERS

CONNECT_SECONDS = 10.0
LOOK_UPS = 64
"""Names that are looked up at the same time."""
_HEADERS = {
    "content-type": "application/json; charset=utf-8",
    "user-agent": "Debrief-Webhooks/1",
    "accept-encoding": "identity",  # what is unpacked could be any size
}
_READ_BYTES = 16_384
_GONE = 410
_ASKS_FOR_REST = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is to be sent where. ``secrets`` are the plain signing secrets in force."""

    url: str
    secrets: tuple[str, ...]
    event_id: str
    body: str


@dataclass(slots=True)
class Reply:
    """How a try ended. ``error`` says in a sentence why it does not count; empty for a success.

    ``status`` is None where no answer came. ``request`` and ``response`` are the texts to be kept,
    headers first, cut; the signature is left out of them.
    """

    status: int | None = None
    error: str = ""
    request: str = ""
    response: str = ""
    duration_ms: int = 0
    retry_after: timedelta | None = None
    asks_for_rest: bool = field(default=False)

    @property
    def ok(self) -> bool:
        return not self.error

    @property
    def gone(self) -> bool:
        """Return whether the receiver says that it never wants anything again."""
        return self.status == _GONE


class _Resolver(AbstractResolver):
    """Look names up in its own threads.

    One that no one answers for holds a thread for half a minute. In the loop's few threads, one
    such endpoint would hold up all the others, and requests to models, too.
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


class Sender:
    """The HTTP client of a process: made and closed in its event loop."""

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
        self._session = aiohttp.ClientSession(
            connector=connector,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        )

    async def aclose(self) -> None:
        await self._session.close()
        await self._resolver.close()

    async def send(self, what: Outgoing, *, at: datetime) -> Reply:
        """Send it once. Never raises: whatever happens is the reply."""
        started = time.monotonic()
        headers = {**_HEADERS} | signature.headers(
            secrets_=what.secrets, event_id=what.event_id, body=what.body, at=at
        )
        try:
            reply = await self._post(what, headers, at)
        except Exception as error:  # noqa: BLE001 (a receiver may break anything: it is its reply)
            reply = Reply(error=_sentence(error))
        reply.request = _kept({**headers, "webhook-signature": "v1,…"}, what.body)
        reply.duration_ms = round((time.monotonic() - started) * 1000)
        return reply

    async def _post(self, what: Outgoing, headers: Mapping[str, str], at: datetime) -> Reply:
        deadline = asyncio.get_running_loop().time() + settings.WEBHOOK_TIMEOUT_SECONDS
        async with asyncio.timeout_at(deadline):
            response = await self._session.post(
                what.url, data=what.body.encode(), headers=headers, allow_redirects=False
            )
        async with response:
            return Reply(
                status=response.status,
                error=_verdict(response),
                response=_kept(response.headers, await _beginning(response, deadline)),
                retry_after=schedule.retry_after(response.headers.get("Retry-After", ""), at),
                asks_for_rest=response.status in _ASKS_FOR_REST,
            )


def _verdict(response: aiohttp.ClientResponse) -> str:
    """Return why a response isn't a success; empty for 2xx."""
    status = response.status
    if 200 <= status < 300:
        return ""
    if 300 <= status < 400:
        target = response.headers.get("Location", "")[:300]
        return (
            f"The endpoint returned {status} (redirect to {target or 'nowhere'}). Redirects aren’t "
            "followed. Update the endpoint URL."
        )
    if status == _GONE:
        return "The endpoint returned 410 Gone."
    return f"The endpoint returned {status} {(response.reason or '')[:100]}".rstrip() + "."


async def _beginning(response: aiohttp.ClientResponse, deadline: float) -> str:
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


def _kept(headers: Mapping[str, str], body: str) -> str:
    """Return headers, an empty line, and the body, truncated to what is stored."""
    lines = "".join(f"{name}: {value}\n" for name, value in headers.items())
    text = (lines + "\n" + body).replace("\0", "\ufffd")
    text = text.encode(errors="replace").decode()
    return text if len(text) <= KEPT_CHARACTERS else text[: KEPT_CHARACTERS - 1] + "…"


def _sentence(error: Exception) -> str:
    """Return a connection failure as a message. TimeoutError first: some are of both kinds."""
    if isinstance(error, TimeoutError):
        return f"No response within {settings.WEBHOOK_TIMEOUT_SECONDS:g} seconds."
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

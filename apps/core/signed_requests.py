"""One attempt at a signed POST and its response (Standard Webhooks)."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import aiohttp
from django.conf import settings

from . import signatures
from .guarded_client import GuardedClient, beginning, failure_text, kept, retry_after

_HEADERS = {
    "content-type": "application/json; charset=utf-8",
    "user-agent": "Debrief-Webhooks/1",
    "accept-encoding": "identity",  # what is unpacked could be any size
}
_GONE = 410
_ASKS_FOR_REST = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A body and its destination. ``secrets`` are the plain signing secrets in force."""

    url: str
    secrets: tuple[str, ...]
    event_id: str
    body: str


@dataclass(slots=True)
class Reply:
    """The outcome of an attempt. ``error`` is the reason of a failure, and empty for a success.

    ``status`` is None without a response. ``request`` and ``response`` are the texts to store:
    headers first, truncated, and without the signature.
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


class Sender(GuardedClient):
    """Signed POST requests of a process."""

    async def send(self, what: Outgoing, *, at: datetime) -> Reply:
        """Send it once. Never raises: whatever happens is the reply."""
        return await send(self.session, what, at=at)


async def send(session: aiohttp.ClientSession, what: Outgoing, *, at: datetime) -> Reply:
    """Send it once over a session of a `GuardedClient`. Never raises."""
    started = time.monotonic()
    headers = {**_HEADERS} | signatures.headers(
        secrets_=what.secrets, event_id=what.event_id, body=what.body, at=at
    )
    try:
        reply = await _post(session, what, headers, at)
    except Exception as error:  # noqa: BLE001 (a receiver may break anything: it is its reply)
        reply = Reply(error=failure_text(error, settings.WEBHOOK_TIMEOUT_SECONDS))
    reply.request = kept({**headers, "webhook-signature": "v1,…"}, what.body)
    reply.duration_ms = round((time.monotonic() - started) * 1000)
    return reply


async def _post(
    session: aiohttp.ClientSession, what: Outgoing, headers: Mapping[str, str], at: datetime
) -> Reply:
    deadline = asyncio.get_running_loop().time() + settings.WEBHOOK_TIMEOUT_SECONDS
    async with asyncio.timeout_at(deadline):
        response = await session.post(
            what.url, data=what.body.encode(), headers=headers, allow_redirects=False
        )
    async with response:
        return Reply(
            status=response.status,
            error=_verdict(response),
            response=kept(response.headers, await beginning(response, deadline)),
            retry_after=retry_after(response.headers.get("Retry-After", ""), at),
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

"""Request a URL of another server while a person waits: guarded, short, and truncated."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from asgiref.sync import async_to_sync

from .addresses import guarded_socket

SECONDS = 5.0
_REDIRECTS = 3
_CUT = 1_000_000


class NoAnswer(Exception):
    """Raised where a server can't be reached, or takes too long."""


@dataclass(frozen=True, slots=True)
class OutboundResponse:
    """The response of a server, with a truncated ``body``."""

    status: int
    content_type: str
    body: bytes


def get(url: str, headers: Mapping[str, str] | None = None) -> OutboundResponse:
    """Return the response to a GET of this address. Raises NoAnswer."""
    try:
        return async_to_sync(_get)(url, headers or {})
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        raise NoAnswer(type(error).__name__) from error


async def _get(url: str, headers: Mapping[str, str]) -> OutboundResponse:
    # No proxy and no password file of the environment: both would go past the guard.
    connector = aiohttp.TCPConnector(socket_factory=guarded_socket)
    async with (
        asyncio.timeout(SECONDS),
        aiohttp.ClientSession(connector=connector, trust_env=False) as session,
        session.get(url, headers=headers, max_redirects=_REDIRECTS) as response,
    ):
        body = b""
        while len(body) < _CUT and (part := await response.content.read(_CUT - len(body))):
            body += part
        return OutboundResponse(response.status, response.content_type, body)

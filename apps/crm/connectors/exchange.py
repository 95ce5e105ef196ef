"""One request to a CRM vendor's API and its response."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

from apps.core.guarded_client import (
    CONNECT_SECONDS,
    KEPT_CHARACTERS,
    failure_text,
    retry_after,
)

from .base import ConnectorError

SECONDS = 30.0
MOST_BYTES = 20_000_000
_STORED_CHARACTERS = 4_000
_TIMEOUT = aiohttp.ClientTimeout(total=SECONDS, sock_connect=CONNECT_SECONDS)
_HEADERS = {
    "accept": "application/json",
    "accept-encoding": "identity",  # the client of the process unpacks nothing
    "user-agent": "Debrief-CRM/1",
}


@dataclass(frozen=True, slots=True)
class Response:
    """A response. ``data`` is its parsed JSON, None where the body isn't JSON."""

    status: int
    headers: Mapping[str, str]
    text: str
    data: Any

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def retry_after(self) -> timedelta | None:
        """Return what the header ``Retry-After`` asks for."""
        return retry_after(self.headers.get("Retry-After", ""), datetime.now(UTC))

    @property
    def stored_text(self) -> str:
        """Return the beginning of the body, which is stored with a push."""
        return self.text[:_STORED_CHARACTERS]

    def error(
        self, message: str, *, stops: bool = False, retry_after: timedelta | None = None
    ) -> ConnectorError:
        """Return the error for a request that the CRM took nothing of."""
        return ConnectorError(
            message,
            stops=stops,
            retry_after=retry_after,
            status=self.status,
            got=self.stored_text,
        )


async def exchange(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    vendor: str,
    headers: Mapping[str, str] | None = None,
    body: Any = None,
    form: Mapping[str, str] | None = None,
) -> Response:
    """Send a request and read the response, whatever its status.

    Raises ConnectorError where no response came: the request may have taken effect or not.
    """
    try:
        async with session.request(
            method,
            url,
            data=form if form is not None else None if body is None else json.dumps(body).encode(),
            headers=_headers(headers, is_json=body is not None),
            allow_redirects=False,
            timeout=_TIMEOUT,
        ) as response:
            raw = await _read(response)
            return Response(response.status, response.headers, *_parsed(raw))
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        raise ConnectorError(f"{vendor}: {failure_text(error, SECONDS)}") from error


def _headers(extra: Mapping[str, str] | None, *, is_json: bool) -> dict[str, str]:
    kind = {"content-type": "application/json"} if is_json else {}
    return _HEADERS | kind | dict(extra or {})


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    while part := await response.content.read(65_536):
        body += part
        if len(body) > MOST_BYTES:
            raise ValueError("the response is too large")
    return body


def _parsed(raw: bytes) -> tuple[str, Any]:
    text = raw.decode(errors="replace").replace("\0", "\ufffd")
    try:
        return text, json.loads(raw)
    except (ValueError, RecursionError):
        return text, None


def as_text(value: Any) -> str:
    """Return the request or the response of one item, truncated for storage."""
    text = json.dumps(value, ensure_ascii=False, indent=1).replace("\\u0000", "\ufffd")
    return text if len(text) <= KEPT_CHARACTERS else text[: KEPT_CHARACTERS - 1] + "…"

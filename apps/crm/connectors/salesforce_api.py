"""Requests to Salesforce's REST API, with a token of the client credentials flow."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import aiohttp

from .base import ConnectorError
from .exchange import Response, exchange
from .salesforce_errors import (
    DAY_USED,
    INVALID_SESSION,
    LIMIT_WAIT,
    codes,
    errors_of,
    failure,
    limit_message,
    token_failure,
)

VERSION = "v65.0"
_LONGEST_QUERY = 6_000
"""Encoded characters of a query. Salesforce takes a URL of 16,384 bytes, many proxies 8,190."""
_USAGE = re.compile(r"(?:^|[;, ])api-usage=([0-9]+)/([0-9]+)")
_OTHERS_SHARE = 0.05
_ESCAPED = {"\\": "\\\\", "'": "\\'", '"': '\\"'}
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
_ESCAPES = str.maketrans(_ESCAPED | _NAMED)


def quoted(text: str) -> str:
    """Return a text as a literal of SOQL."""
    return "'" + text.translate(_ESCAPES) + "'"


class SalesforceApi:
    """One organization's API. ``domain`` is its My Domain address, such as https://….com."""

    def __init__(
        self, session: aiohttp.ClientSession, *, domain: str, key: str, secret: str
    ) -> None:
        self.session = session
        self.domain = domain.rstrip("/")
        self._auth = aiohttp.encode_basic_auth(key, secret)
        self._token = ""
        self._renewal = asyncio.Lock()
        self._usage = (0, 0)

    async def request(
        self, method: str, path: str, body: Any = None, *, about_content: Sequence[int] = ()
    ) -> Response:
        """Send a request; return a success, or an error with one of the given statuses.

        Raises ConnectorError for any other error. A token that Salesforce no longer takes is
        replaced once, however many requests meet it.
        """
        self._leave_room()
        token = self._token or await self._renew("")
        response = await self._send(method, path, body, token)
        if response.status == 401 and INVALID_SESSION in codes(errors_of(response)):
            response = await self._send(method, path, body, await self._renew(token))
        if response.ok and (response.data is not None or not response.text):
            return response
        found = codes(errors_of(response))
        if response.status in about_content and found and DAY_USED not in found:
            return response
        raise failure(response)

    async def select(self, query: str) -> list[Any]:
        """Return the records of a query, all pages of them. Raises ConnectorError."""
        path = f"/services/data/{VERSION}/query?q={quote(query, safe='')}"
        records: list[Any] = []
        while path:
            page = (await self.request("GET", path)).data
            records += page.get("records") or []
            path = str(page.get("nextRecordsUrl") or "")
        return records

    async def select_in(self, query: str, names: Sequence[str], values: Sequence[str]) -> list[Any]:
        """Return the records that hold one of the values in one of the fields.

        ``query`` goes up to its condition, ``SELECT … FROM …``. Sent in parts that fit into a URL.
        """
        records: list[Any] = []
        for part in _parts(list(dict.fromkeys(values)), len(names)):
            listed = ",".join(quoted(value) for value in part)
            condition = " OR ".join(f"{name} IN ({listed})" for name in names)
            records += await self.select(f"{query} WHERE {condition}")
        return records

    async def _send(self, method: str, path: str, body: Any, token: str) -> Response:
        response = await exchange(
            self.session,
            method,
            self.domain + path,
            vendor="Salesforce",
            headers={"authorization": f"Bearer {token}"},
            body=body,
        )
        if found := _USAGE.search(response.headers.get("Sforce-Limit-Info", "")):
            self._usage = int(found[1]), int(found[2])
        return response

    def _leave_room(self) -> None:
        """Stop short of the limit, which the organization's other integrations share."""
        used, limit = self._usage
        if limit and used >= limit * (1 - _OTHERS_SHARE):
            # Ask again after the wait: the header of that response has the new count.
            self._usage = (0, 0)
            raise ConnectorError(
                limit_message(f"{used:,} of {limit:,} requests are used."),
                retry_after=LIMIT_WAIT,
            )

    async def _renew(self, old: str) -> str:
        """Return a token other than the old one; one request for all that wait for it."""
        async with self._renewal:
            if self._token != old:
                return self._token
            response = await exchange(
                self.session,
                "POST",
                f"{self.domain}/services/oauth2/token",
                vendor="Salesforce",
                headers={"authorization": self._auth},
                form={"grant_type": "client_credentials"},
            )
            data = response.data if isinstance(response.data, dict) else {}
            if not response.ok or not data.get("access_token"):
                raise token_failure(response)
            self._token = str(data["access_token"])
            return self._token


def _parts(values: list[str], names: int) -> list[list[str]]:
    """Split values into lists whose query fits into a URL."""
    parts: list[list[str]] = []
    room = 0
    for value in values:
        size = len(quote(quoted(value) + ",", safe="")) * names
        if size > room or not parts:
            parts.append([])
            room = _LONGEST_QUERY
        parts[-1].append(value)
        room -= size
    return parts

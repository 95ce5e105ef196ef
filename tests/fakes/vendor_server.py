"""A server of a CRM vendor in a thread of the test's process: aiohttp, a log, an outage switch.

A vendor's module adds the routes, the store, and the errors in the vendor's wire format.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from .server_thread import ServerThread


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it arrived. ``body`` is parsed JSON, a form as a dict, or None."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any

    @property
    def name(self) -> str:
        """Return method and path, as counts use them."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Reply:
    """A response. ``body`` is sent as JSON, text as it is. ``drop`` closes the connection without
    a response, after ``delay`` seconds."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: bool = False


Decide = Callable[[Call], Reply | None]


class VendorServer(ServerThread):
    """A running fake. ``decide`` may answer a request in place of the vendor.

    ``down`` drops every connection. ``lose_response`` lets a request take effect and drops the
    connection before the response, for the next requests whose path contains the text.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.statuses: list[int] = []
        self.down = False
        self.decide: Decide = lambda call: None
        self.lose_response = ""
        super().__init__()

    @property
    def counts(self) -> Counter[str]:
        """Requests by method and path, in the form ``POST /path``; also those that failed."""
        return Counter(call.name for call in self.calls)

    def bodies(self, end: str) -> list[Any]:
        """Return the bodies of the requests whose path ends so."""
        return [call.body for call in self.calls if call.path.endswith(end)]

    def answer_next(self, end: str, *replies: Reply) -> None:
        """Answer the next requests whose path ends so with these, then as the vendor does."""
        pending = list(replies)

        def decide(call: Call) -> Reply | None:
            return pending.pop(0) if pending and call.path.endswith(end) else None

        self.decide = decide

    def handle(self, call: Call) -> Reply:
        """Answer as the vendor does."""
        raise NotImplementedError

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        call = await _read(request)
        self.calls.append(call)
        reply = Reply(drop=True) if self.down else (self.decide(call) or self.handle(call))
        if self.lose_response and self.lose_response in call.path:
            self.lose_response = ""
            reply = Reply(drop=True)
        self.statuses.append(0 if reply.drop else reply.status)
        await asyncio.sleep(reply.delay)
        if reply.drop:
            assert request.transport
            request.transport.abort()
        text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
        kind = "text/html" if isinstance(reply.body, str) else "application/json"
        response = web.Response(
            status=reply.status,
            text="" if reply.body is None else text,
            content_type=kind,
            headers=reply.headers,
        )
        response.enable_compression()  # where the client takes it
        return response


async def _read(request: web.BaseRequest) -> Call:
    text = await request.text()
    headers = {name.lower(): value for name, value in request.headers.items()}
    body: Any = None
    if text and headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        body = dict(parse_qsl(text))
    elif text:
        body = json.loads(text)
    return Call(request.method, request.path, dict(request.query), headers, body)

"""A small receiver of webhooks, as another program would write it: aiohttp, standardwebhooks.

It runs in a thread of the test's process and keeps everything that came, verified or not.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from .server_thread import ServerThread

SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cyEhISEhISE="


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came. ``verified``: signed with the receiver's secret, and not long ago."""

    id: str
    path: str
    headers: Mapping[str, str]
    body: str
    verified: bool

    @property
    def payload(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass(frozen=True, slots=True)
class Answer:
    """How to answer: after ``delay`` seconds; ``drip`` sends the body a byte each 50 ms; ``drop``
    closes the connection without a word."""

    status: int = 204
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drip: bool = False
    drop: bool = False


Decide = Callable[[Received], Answer]


class Receiver(ServerThread):
    """A running receiver. ``decide`` says how each request is answered."""

    def __init__(self, secret: str = SECRET) -> None:
        self.secret = secret
        self.decide: Decide = lambda received: Answer()
        self.received: list[Received] = []
        self.taken: list[Received] = []
        """Those that are answered with success."""
        self.most_at_once = 0
        self._at_once = 0
        super().__init__()

    @property
    def url(self) -> str:
        return f"{super().url}/hook"

    @property
    def ids(self) -> list[str]:
        """The webhook-ids in the order in which they came."""
        return [received.id for received in self.received]

    @property
    def twice(self) -> list[str]:
        """The webhook-ids that were taken more than once."""
        return [one for one, times in Counter(r.id for r in self.taken).items() if times > 1]

    def always(self, answer: Answer) -> None:
        self.decide = lambda received: answer

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return await self._answer(request)
        finally:
            self._at_once -= 1

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.text()
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = Received(
            id=headers.get("webhook-id", ""),
            path=request.path,
            headers=headers,
            body=body,
            verified=self._verifies(body, headers),
        )
        self.received.append(received)
        answer = self.decide(received)
        if 200 <= answer.status < 300 and not answer.drop:
            self.taken.append(received)
        await asyncio.sleep(answer.delay)
        if answer.drop:
            assert request.transport
            request.transport.abort()
        if answer.drip:
            return await self._drip(request, answer)
        return web.Response(status=answer.status, text=answer.body, headers=answer.headers)

    def _verifies(self, body: str, headers: dict[str, str]) -> bool:
        try:
            Webhook(self.secret).verify(body, headers)
        except WebhookVerificationError:
            return False
        return True

    async def _drip(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        await response.prepare(request)
        for byte in answer.body.encode():
            await response.write(bytes([byte]))
            await asyncio.sleep(0.05)
        return response

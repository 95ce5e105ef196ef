"""One shared connection for each server and key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx2
import openai
from django.conf import settings
from openai import AsyncOpenAI

from apps.llm.specs import ModelSpec
from apps.llm.transport import AiohttpTransport, Written

DEFAULT_BASE_URL = "https://api.openai.com/v1"
_NO_KEY = "none"  # the library insists on a key; servers without keys ignore it
_JSON_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}
# True of one request only.
_OF_ONE_REQUEST = frozenset(("content-length", "idempotency-key", "x-stainless-read-timeout"))


class Endpoint(NamedTuple):
    """Where a model is, and what opens it."""

    base_url: str
    key: str


class MissingKeyError(LookupError):
    """No key is set for a server that needs one; the message says which variable to set."""


class NotRunningError(LookupError):
    """The bundled model is to be used but has not been started."""


def endpoint(spec: ModelSpec) -> Endpoint:
    """Return the server and key of a model, from the environment (interfaces, *Environment*).

    A key is only ever sent to the server it was set for: to an address of the model's own it is
    the variable named there, or none.
    """
    if spec.is_local:
        if not settings.BUNDLED_MODEL_URL:
            raise NotRunningError("The bundled model is not running; start Debrief with “up”.")
        return Endpoint(settings.BUNDLED_MODEL_URL, _NO_KEY)
    base_url = spec.base_url or settings.OPENAI_BASE_URL or DEFAULT_BASE_URL
    if spec.api_key_env:
        key = os.environ.get(spec.api_key_env, "")
        if not key:
            raise MissingKeyError(f"No API key for {spec.name}. Set {spec.api_key_env}.")
        return Endpoint(base_url, key)
    if spec.base_url:
        return Endpoint(base_url, _NO_KEY)
    if settings.OPENAI_API_KEY:
        return Endpoint(base_url, settings.OPENAI_API_KEY)
    if settings.OPENAI_BASE_URL:
        return Endpoint(base_url, _NO_KEY)
    raise MissingKeyError(f"No API key for {spec.name}. Set OPENAI_API_KEY.")


def is_openai(spec: ModelSpec) -> bool:
    """Return whether a model is asked at OpenAI's own address."""
    base_url = spec.base_url or settings.OPENAI_BASE_URL or DEFAULT_BASE_URL
    return not spec.is_local and urlsplit(base_url).hostname == urlsplit(DEFAULT_BASE_URL).hostname


def missing_key(spec: ModelSpec) -> str:
    """The environment variable that has to be set before a model can be used; empty if none."""
    try:
        endpoint(spec)
    except MissingKeyError:
        return spec.api_key_env or "OPENAI_API_KEY"
    except NotRunningError:
        return ""
    return ""


@dataclass(frozen=True, slots=True)
class Response:
    """What a server responded, of any status. ``headers`` don't mind the case of names."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Connection:
    """The way to one server.

    The openai library writes the first request. Once one was accepted, the following ones repeat
    its address and headers, and skip the library: it takes about 1,500 function calls for each to
    write the same again (docs/decisions/0074).
    """

    def __init__(self, place: Endpoint) -> None:
        self._transport = AiohttpTransport()
        self._client = AsyncOpenAI(
            base_url=place.base_url,
            api_key=place.key,
            max_retries=0,
            http_client=httpx2.AsyncClient(transport=self._transport, trust_env=False),
        )
        self._written: Written | None = None

    async def ask(self, body: bytes, seconds: float) -> Response:
        """Send one request for a chat completion, and return a response of any status.

        Raises httpx2.TransportError, openai.APIError, and AnswerTooLongError.
        """
        if self._written is not None:
            found = await self._transport.exchange(self._written, body, seconds)
            return Response(found.status, found.headers, found.content)
        try:
            response = await self._client.post(
                "/chat/completions",
                cast_to=httpx2.Response,
                content=body,
                options={"headers": _JSON_HEADERS, "timeout": seconds},
            )
        except openai.APIStatusError as error:
            return Response(error.status_code, error.response.headers, error.response.content)
        self._written = _written(response.request)
        return Response(response.status_code, response.headers, response.content)

    async def aclose(self) -> None:
        await self._client.close()


def _written(request: httpx2.Request) -> Written:
    headers = [
        (name, value)
        for name, value in request.headers.multi_items()
        if name.lower() not in _OF_ONE_REQUEST
    ]
    return Written(request.method, str(request.url), headers)


class Connections:
    """The connections of one event loop, made when first needed, closed together."""

    def __init__(self) -> None:
        self._open: dict[Endpoint, Connection] = {}

    def get(self, place: Endpoint) -> Connection:
        found = self._open.get(place)
        if found is None:
            found = self._open[place] = Connection(place)
        return found

    async def aclose(self) -> None:
        connections, self._open = self._open, {}
        for connection in connections.values():
            await connection.aclose()

"""One shared ``AsyncOpenAI`` for each server and key."""

from __future__ import annotations

import os
from typing import NamedTuple

import httpx2
from django.conf import settings
from openai import AsyncOpenAI

from apps.llm.specs import ModelSpec
from apps.llm.transport import AiohttpTransport

DEFAULT_BASE_URL = "https://api.openai.com/v1"
_NO_KEY = "none"  # the library insists on a key; servers without keys ignore it


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


def missing_key(spec: ModelSpec) -> str:
    """The environment variable that has to be set before a model can be used; empty if none."""
    try:
        endpoint(spec)
    except MissingKeyError:
        return spec.api_key_env or "OPENAI_API_KEY"
    except NotRunningError:
        return ""
    return ""


class Connections:
    """The clients of one event loop, made when first needed, closed together."""

    def __init__(self) -> None:
        self._clients: dict[Endpoint, AsyncOpenAI] = {}

    def get(self, place: Endpoint) -> AsyncOpenAI:
        client = self._clients.get(place)
        if client is None:
            client = self._clients[place] = AsyncOpenAI(
                base_url=place.base_url,
                api_key=place.key,
                max_retries=0,
                http_client=httpx2.AsyncClient(transport=AiohttpTransport(), trust_env=False),
            )
        return client

    async def aclose(self) -> None:
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.close()

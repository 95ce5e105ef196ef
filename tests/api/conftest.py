"""A caller of the REST API."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from apps.accounts.actors import Actor
from apps.accounts.keys import create_api_key
from apps.accounts.models import Role


class Caller:
    """Speaks JSON with a key of one role."""

    def __init__(self, role: Role) -> None:
        self.client = Client()
        _, key = create_api_key(name=f"tests {role}", role=role, by=Actor.system("tests"))
        self.headers = {"Authorization": f"Bearer {key}"}

    def get(self, path: str, **params: Any) -> HttpResponse:
        return self.client.get(f"/api{path}", params, headers=self.headers)  # type: ignore[return-value]

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        return self.client.generic(  # type: ignore[return-value]
            method,
            f"/api{path}",
            json.dumps({} if body is None else body),
            content_type="application/json",
            headers={**self.headers, **headers},
        )

    def post(self, path: str, body: Any = None, **headers: str) -> HttpResponse:
        return self.send("POST", path, body, **headers)

    def ndjson(self, path: str, lines: str) -> HttpResponse:
        return self.client.post(  # type: ignore[return-value]
            f"/api{path}", lines, content_type="application/x-ndjson", headers=self.headers
        )


CallerOf = Callable[[Role], Caller]


@pytest.fixture
def caller_of(db: None) -> CallerOf:
    return Caller


@pytest.fixture
def editor(db: None) -> Caller:
    return Caller(Role.EDITOR)


@pytest.fixture
def operator(db: None) -> Caller:
    return Caller(Role.OPERATOR)


@pytest.fixture
def viewer(db: None) -> Caller:
    return Caller(Role.VIEWER)

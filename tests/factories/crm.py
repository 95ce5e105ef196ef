"""Connections to CRMs and pushes, written straight into their tables."""

from itertools import count
from typing import Any

from apps.crm.models import CrmConnection, Push

from .contacts import make_contact

_numbers = count(1)


def make_connection(**values: Any) -> CrmConnection:
    defaults: dict[str, Any] = {
        "kind": "http",
        "name": f"Connection {next(_numbers)}",
        "config": {"url": "https://example.com/crm"},
        "secret_encrypted": b"ciphertext",
        "created_by": "tests",
    }
    return CrmConnection.objects.create(**defaults | values)


def make_push(**values: Any) -> Push:
    parts = {"connection": make_connection, "contact": make_contact}
    return Push.objects.create(
        **{n: make() for n, make in parts.items() if n not in values}, **values
    )

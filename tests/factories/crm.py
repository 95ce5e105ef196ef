"""Connections to CRMs and pushes, written straight into their tables."""

import json
from itertools import count
from typing import Any

from apps.core.cipher import encrypt
from apps.crm.models import CrmConnection, Push
from tests.fakes.receiver import SECRET

from .contacts import make_contact

_numbers = count(1)


def make_connection(url: str = "https://example.com/crm", **values: Any) -> CrmConnection:
    """An HTTP endpoint, by default."""
    defaults: dict[str, Any] = {
        "kind": "http",
        "name": f"Connection {next(_numbers)}",
        "config": {"url": url},
        "secret_encrypted": encrypt(json.dumps({"secret": SECRET})),
        "created_by": "tests",
    }
    return CrmConnection.objects.create(**defaults | values)


def make_push(**values: Any) -> Push:
    if "connection" not in values:
        values["connection"] = make_connection()
    if "contact" not in values:
        values["contact"] = make_contact()
    return Push.objects.create(**values)

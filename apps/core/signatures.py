"""Secrets of endpoints and the headers that prove who sent a request (Standard Webhooks)."""

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime

from standardwebhooks.webhooks import Webhook

PREFIX = "whsec_"
_BYTES = 32
_SHORTEST = 24


def new_secret() -> str:
    """Return a new signing secret, ``whsec_…``."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


def is_secret(text: str) -> bool:
    """Return whether a text is a signing secret that both sides can use."""
    if not text.startswith(PREFIX):
        return False
    try:
        return len(base64.b64decode(text.removeprefix(PREFIX), validate=True)) >= _SHORTEST
    except ValueError:
        return False


def headers(*, secrets_: Sequence[str], event_id: str, body: str, at: datetime) -> dict[str, str]:
    """Return the three headers of the specification, with a signature per active secret.

    ``webhook-id`` is the event's ID: it's the same for all attempts, so that a receiver can
    recognize an event that it already has.
    """
    signed = [Webhook(secret).sign(event_id, at, body) for secret in secrets_]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signed),
    }

"""Payloads of platforms, signed as the platforms do it: written from their published schemes,
apart from the code under test."""

import base64
import hashlib
import hmac
import json
import os
import time
from pathlib import Path
from typing import Any

from django.test import Client

from apps.accounts.actors import Actor
from apps.platforms.models import IntakeSource
from apps.platforms.sources import create_source, webhook_path

PROJECT = Path(__file__).resolve().parents[3]
FOLDER = Path(os.environ.get("DEBRIEF_DATA") or PROJECT.parent / "shared" / "data") / "payloads"
KEY = "key_of_the_account"
BY = Actor.system("tests")


def source_of(kind: str, **more: Any) -> IntakeSource:
    return create_source(kind=kind, name=f"{kind} account", secret=KEY, by=BY, **more)


def signed(kind: str, body: bytes, *, at: float | None = None, key: str = KEY) -> dict[str, str]:
    """The headers with which the platform sends ``body``."""
    now = time.time() if at is None else at
    if kind == "retell":
        ms = str(int(now * 1000))
        digest = hmac.new(key.encode(), body + ms.encode(), hashlib.sha256).hexdigest()
        return {"X-Retell-Signature": f"v={ms},d={digest}"}
    if kind == "elevenlabs":
        stamp = str(int(now))
        whole = stamp.encode() + b"." + body
        digest = hmac.new(key.encode(), whole, hashlib.sha256).hexdigest()
        return {"ElevenLabs-Signature": f"t={stamp},v0={digest}"}
    stamp = str(int(now * 1000))
    whole = stamp.encode() + b"." + body
    digest = hmac.new(key.encode(), whole, hashlib.sha256).hexdigest()
    return {"X-Timestamp": stamp, "X-Signature": digest}


def in_base64(body: bytes, stamp: str) -> str:
    whole = f"{stamp}.".encode() + body
    return base64.b64encode(hmac.new(KEY.encode(), whole, hashlib.sha256).digest()).decode()


def send(source: IntakeSource, payload: Any, headers: dict[str, str] | None = None) -> Any:
    """POST it to the receiver of ``source``, signed unless ``headers`` say how."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Client(raise_request_exception=True).post(
        webhook_path(source),
        body,
        content_type="application/json",
        headers=headers if headers is not None else signed(source.kind, body),
    )

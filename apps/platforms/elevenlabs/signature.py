"""Verify that a webhook was sent by ElevenLabs."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime

from apps.platforms.adapter import BadSignature

SIGNATURE = "elevenlabs-signature"
HEADERS = (SIGNATURE,)
WINDOW_SECONDS = 30 * 60
_TIME = re.compile(r"[0-9]{1,12}")


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """``ElevenLabs-Signature: t={s},v0={hex}``, an HMAC-SHA256 of ``t.body`` by the secret.

    Raises BadSignature, also for a time more than half an hour away: the platform's own library
    allows that much before now, and any time after; here a clock may be ahead by as much.
    """
    parts = [part.strip() for part in headers.get(SIGNATURE, "").split(",")]
    moment = next((part[2:] for part in parts if part.startswith("t=")), "")
    given = [part[3:] for part in parts if part.startswith("v0=")]
    if not _TIME.fullmatch(moment) or not given:
        raise BadSignature("The header ElevenLabs-Signature is missing or not t=…,v0=….")
    signed = moment.encode() + b"." + body
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest().encode()
    if not any(hmac.compare_digest(expected, _bytes(one)) for one in given[:5]):
        raise BadSignature("Signature mismatch. Check that the source has the current secret.")
    if abs(now.timestamp() - int(moment)) > WINDOW_SECONDS:
        raise BadSignature(
            "The signature timestamp is more than 30 minutes off. Check the clock on this server."
        )


def _bytes(value: str) -> bytes:
    return value.encode(errors="surrogatepass")

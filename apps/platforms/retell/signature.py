"""Verify that a webhook was sent by Retell."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime

from apps.platforms.adapter import BadSignature

SIGNATURE = "x-retell-signature"
HEADERS = (SIGNATURE,)
WINDOW_MS = 5 * 60 * 1000
_SIGNATURE = re.compile(r"v=([0-9]{1,15}),d=([0-9a-f]{64})")


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """``X-Retell-Signature: v={ms},d={hex}``, an HMAC-SHA256 of body and ms by the API key.

    Raises BadSignature, also for a time more than five minutes away, before or after.
    """
    found = _SIGNATURE.fullmatch(headers.get(SIGNATURE, "").strip())
    if found is None:
        raise BadSignature("The header X-Retell-Signature is missing or not v=…,d=….")
    moment, digest = found.groups()
    expected = hmac.new(secret.encode(), body + moment.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, digest):
        raise BadSignature(
            "Signature mismatch. Check that the source uses the API key with the Webhook badge."
        )
    if abs(now.timestamp() * 1000 - int(moment)) > WINDOW_MS:
        raise BadSignature(
            "The signature timestamp is more than 5 minutes off. Check the clock on this server."
        )

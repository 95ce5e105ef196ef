"""Verify that a webhook was sent by Vapi."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime

from apps.platforms.adapter import BadSignature

PLAIN = "x-vapi-secret"
SIGNATURES = ("x-vapi-signature", "x-signature")
TIMES = ("x-timestamp", "x-vapi-timestamp")
HEADERS = (PLAIN, "authorization", *SIGNATURES, *TIMES)
WINDOW_SECONDS = 5 * 60
_TIME = re.compile(r"[0-9]{1,15}")


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """The secret itself (a bearer token or ``X-Vapi-Secret``), or an HMAC-SHA256 by it.

    An HMAC is over ``{timestamp}.{body}`` where a timestamp comes with it, over the body alone
    where none does. Raises BadSignature, also for a time more than five minutes away.
    """
    bearer = headers.get("authorization", "").strip()
    tokens = [headers.get(PLAIN, "").strip(), bearer.removeprefix("Bearer ").strip()]
    signatures = [headers.get(name, "").strip() for name in SIGNATURES]
    tokens, signatures = list(filter(None, tokens)), list(filter(None, signatures))
    if not tokens and not signatures:
        raise BadSignature(
            "There is no secret with it: neither X-Vapi-Secret, nor a bearer token, nor an HMAC "
            "in X-Vapi-Signature or X-Signature."
        )
    # Older settings of Vapi send the secret itself under the name of a signature.
    if any(_same(secret, token) for token in (*tokens, *signatures)):
        return
    if not signatures:
        raise BadSignature("The secret doesn’t match this source.")
    moment = next((found for name in TIMES if (found := headers.get(name, "").strip())), "")
    if moment and not _TIME.fullmatch(moment):
        raise BadSignature("The signature timestamp isn’t a Unix time in seconds or milliseconds.")
    signed = moment.encode() + b"." + body if moment else body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    known = (digest.hex(), base64.b64encode(digest).decode())
    given = [one.removeprefix("sha256=") for one in signatures]
    if not any(_same(ours, theirs) for ours in known for theirs in given):
        raise BadSignature("Signature mismatch. Check that the source has the current secret.")
    if moment and abs(now.timestamp() - _seconds_of(int(moment))) > WINDOW_SECONDS:
        raise BadSignature(
            "The signature timestamp is more than 5 minutes off. Check the clock on this server."
        )


def _same(ours: str, theirs: str) -> bool:
    return hmac.compare_digest(ours.encode(), theirs.encode(errors="surrogatepass"))


def _seconds_of(moment: int) -> float:
    return moment / 1000 if moment > 10**11 else moment

"""Hide API keys in texts that providers send back."""

from __future__ import annotations

import os
import re
from urllib.parse import quote

from django.conf import settings

MASK = "(key)"

_SHORTEST_KEY = 6
_SECRET_NAME = re.compile(r"(_KEY|_TOKEN|_SECRET|_PASSWORD)\Z")
_DIGIT = r"(?=[^\s\"',;]{0,200}\d)"
_DIGIT_OR_STAR = r"(?=[^\s\"',;]{0,200}[\d*])"
_VALUE = r"[^\s\"'<>,;&)}\]]"
_KEY_NAME = r"(?:x-)?(?:api|access|auth|secret|client)?[-_ ]?(?:key|token|secret|password)"

# Each pattern keeps what its first group holds and hides the remainder.
_PATTERNS = (
    # Prefixes that providers give their keys.
    re.compile(
        rf"()\b(?:sk|pk|rk|ak|key|xai|nvapi|pplx|csk|tgp|dsk)-{_DIGIT_OR_STAR}[\w*.\-…]{{6,}}"
    ),
    re.compile(
        rf"()\b(?:gsk|hf|r8|fw|csk|tgp_v1|sk|pk|rk|glpat|ghp)_{_DIGIT_OR_STAR}[\w*\-…]{{8,}}"
    ),
    re.compile(r"()\bAIza[\w*\-]{8,}"),
    re.compile(r"()\bya29\.[\w.\-]{8,}"),
    re.compile(r"()\b(?:AKIA|ASIA)[A-Z0-9]{12,}"),
    re.compile(r"()\beyJ[\w\-]{8,}\.[\w\-]+(?:\.[\w\-]*)?"),  # a JSON Web Token
    # Headers, query strings and sentences that name a key.
    re.compile(
        rf"(\b(?:bearer|basic)\s+)(?:{_DIGIT}{_VALUE}{{6,}}|[\w.~+/=*\-]{{20,}})", re.IGNORECASE
    ),
    re.compile(rf"(\b{_KEY_NAME}[\"']?\s*=\s*[\"']?){_VALUE}{{4,}}", re.IGNORECASE),
    re.compile(
        rf"(\b{_KEY_NAME}(?:\s+(?:provided|given|was|is))?[\"']?\s*:\s*[\"']?)"
        rf"(?:{_DIGIT}{_VALUE}{{6,}}|[\w.~+/=*\-]{{20,}})",
        re.IGNORECASE,
    ),
)


def mask_keys(text: str) -> str:
    """Return ``text`` without the configured keys and without anything that looks like a key."""
    if not text:
        return text
    for key in _configured_keys():
        if key in text:
            text = text.replace(key, MASK)
    for pattern in _PATTERNS:
        text = pattern.sub(_hide, text)
    return text


def _hide(match: re.Match[str]) -> str:
    return f"{match[1]}{MASK}"


def _configured_keys() -> list[str]:
    """Return every secret of this installation, longest first, also in its URL form."""
    values = {value for name, value in os.environ.items() if _SECRET_NAME.search(name.upper())}
    values |= {str(settings.OPENAI_API_KEY or ""), str(settings.SECRET_KEY or "")}
    keys = {value.strip() for value in values if len(value.strip()) >= _SHORTEST_KEY}
    keys |= {quote(key, safe="") for key in keys}
    return sorted(keys, key=len, reverse=True)

"""What an administrator may write into a model's row."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator

KEY_ENV_PATTERN = r"^[A-Z][A-Z0-9_]*_API_KEY$"

validate_key_env = RegexValidator(
    re.compile(KEY_ENV_PATTERN.replace("$", r"\Z")),
    "“%(value)s” is not the name of a key's environment variable: capital letters, digits and "
    "underscores, ending in _API_KEY.",
)


def validate_base_url(value: str) -> None:
    """Take ``http(s)://host…``, single-label hosts of a private network included."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        usable = False
    if not usable or parts.username or parts.query or parts.fragment:
        raise ValidationError(
            "“%(value)s” is not the address of a server: write it like "
            "https://api.example.com/v1, without user, query or fragment.",
            params={"value": value},
        )


def validate_parameters(value: object) -> None:
    """Take an object whose keys do not collide with what the client itself sends."""
    if not isinstance(value, dict):
        raise ValidationError("Parameters are a JSON object, like {“temperature”: 0}.")
    taken = sorted(RESERVED_PARAMETERS.intersection(value))
    if taken:
        raise ValidationError(
            "You can't set %(names)s here. Debrief sets it for each request.",
            params={"names": ", ".join(taken)},
        )


RESERVED_PARAMETERS = frozenset(
    {
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "prompt_cache_key",
        "response_format",
        "stream",
        "tool_choice",
        "tools",
    }
)

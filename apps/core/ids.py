"""Public ids: what URLs, the API and people see instead of primary keys."""

import secrets
import string

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
LENGTH = 22
"""22 characters of 62 carry 131 bits: no two ever meet, and none can be guessed."""


def random_base62(length: int) -> str:
    """`length` characters of 0-9A-Za-z from the system's secure random source."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def public_id(prefix: str) -> str:
    """A new id such as `conv_3kT9…`: the prefix names the kind, 22 random characters the row.

    The prefix may be given with or without its underscore.
    """
    return f"{prefix.rstrip('_')}_{random_base62(LENGTH)}"

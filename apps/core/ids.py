"""Public ids: what URLs, the API and people see instead of primary keys."""

import secrets
import string

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
LENGTH = 22
"""22 characters of 62 carry 131 bits: no two ever meet, and none can be guessed."""


def random_base62(length: int) -> str:
    """`length` characters of 0-9A-Za-z from the system's secure random source.

    Bytes of 248 and more are passed over, so that each character is equally likely: 248 is four
    times 62. One call to the system for all of them; a bulk upload makes two ids a line.
    """
    found = ""
    while len(found) < length:
        found += "".join([ALPHABET[b % 62] for b in secrets.token_bytes(length + 4) if b < 248])
    return found[:length]


def public_id(prefix: str) -> str:
    """A new id such as `conv_3kT9…`: the prefix names the kind, 22 random characters the row.

    The prefix may be given with or without its underscore.
    """
    return f"{prefix.rstrip('_')}_{random_base62(LENGTH)}"

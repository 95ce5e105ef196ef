"""Encrypt secrets that must be read again, such as an endpoint's signing secret.

Secrets that only have to be recognized (API keys, passwords) are hashed instead. The key is
derived from SECRET_KEY: a copy of the database alone reveals nothing. Keys of
SECRET_KEY_FALLBACKS still decrypt, so that SECRET_KEY can be changed.
"""

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from .errors import UserError


class Unreadable(UserError):
    """A stored secret was encrypted with a SECRET_KEY that is no longer known."""

    code = "secret_unreadable"


def encrypt(secret: str) -> bytes:
    """Return the secret as ciphertext; another one each time."""
    return _box(_keys()).encrypt(secret.encode())


def decrypt(stored: bytes | memoryview) -> str:
    """Return the secret again. Raises Unreadable where SECRET_KEY has changed since."""
    try:
        return _box(_keys()).decrypt(bytes(stored)).decode()
    except InvalidToken:
        raise Unreadable(
            "Can't decrypt this secret because SECRET_KEY changed. Set a new secret, or add the "
            "old key to SECRET_KEY_FALLBACKS."
        ) from None


def _keys() -> tuple[str, ...]:
    return (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)


@lru_cache(maxsize=4)
def _box(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(_derived(key)) for key in keys])


def _derived(key: str) -> bytes:
    kdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"debrief stored secrets")
    return base64.urlsafe_b64encode(kdf.derive(key.encode()))

"""Cache numbers for a minute; without the broker they are computed each time."""

import logging
from collections.abc import Callable
from hashlib import sha256
from time import sleep as pause
from typing import TypeVar

from django.core.cache import cache

from apps.core.shortcut_cache import AWAY

T = TypeVar("T")
logger = logging.getLogger(__name__)

CLAIM_SECONDS = 15
"""A process that died while it computed a number holds up the others for this long."""
_POLL_SECONDS = 0.02


def cached(key: str, seconds: int, make: Callable[[], T]) -> T:
    """Return the value under this key, made where there is none.

    Requests for the same value wait for the one that makes it. Names of fields are parts of keys:
    a cache takes neither blanks nor more than 250 characters.
    """
    name = f"insights:{sha256(key.encode()).hexdigest()}"
    try:
        return _made_once(name, seconds, make)
    except AWAY as error:
        logger.warning("Cache away, %s is made anew: %s", key, error)
        return make()


def _made_once(name: str, seconds: int, make: Callable[[], T]) -> T:
    missing, claim = object(), f"{name}:claim"
    while (found := cache.get(name, missing)) is missing:
        if cache.add(claim, 1, CLAIM_SECONDS):
            try:
                # Another request can have finished between the look and the claim.
                if (found := cache.get(name, missing)) is missing:
                    found = make()
                    cache.set(name, found, seconds)
                break
            finally:
                cache.delete(claim)
        pause(_POLL_SECONDS)
    return found  # type: ignore[no-any-return]

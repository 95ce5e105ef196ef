"""Cache numbers for a minute; without the broker they are computed each time."""

import logging
from collections.abc import Callable
from hashlib import sha256
from typing import TypeVar

from django.core.cache import cache
from redis.exceptions import RedisError

T = TypeVar("T")
logger = logging.getLogger(__name__)


def cached(key: str, seconds: int, make: Callable[[], T]) -> T:
    """Return the value under this key, made where there is none.

    Names of fields are parts of keys: a cache takes neither blanks nor more than 250 characters.
    """
    name = f"insights:{sha256(key.encode()).hexdigest()}"
    try:
        return cache.get_or_set(name, make, seconds)  # type: ignore[return-value]
    except (RedisError, OSError) as error:
        logger.warning("Cache away, %s is made anew: %s", key, error)
        return make()

"""The cache as a shortcut: while the broker is away, nothing is found and nothing is stored."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from django.core.cache import cache
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

AWAY = (RedisError, OSError)
"""What Django's cache raises while the broker is away."""


def find(names: Iterable[str]) -> Mapping[str, Any]:
    """Return the values that are stored under these names."""
    try:
        return cache.get_many(list(names))
    except AWAY as error:
        logger.warning("Cache away, nothing is read from it: %s", error)
        return {}


def store(values: Mapping[str, Any], seconds: int) -> None:
    """Store values under their names for some seconds."""
    try:
        cache.set_many(dict(values), seconds)
    except AWAY as error:
        logger.warning("Cache away, nothing is stored in it: %s", error)

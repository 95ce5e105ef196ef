"""How the webhooks of other platforms are signed and what they say.

A module per platform, each with ``HEADERS`` (by which it signs), ``verify`` and ``read``: pure
functions that know nothing of the database. What each was checked against is in docs/platforms.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from . import elevenlabs, retell, vapi
from .shapes import Arrived, BadSignature

Verify = Callable[[str, Mapping[str, str], bytes, datetime], None]


@dataclass(frozen=True, slots=True)
class Platform:
    """One platform. ``verify`` raises BadSignature; its headers have names in lower case. ``read``
    raises LineRefused for a payload that is none of the platform's."""

    headers: tuple[str, ...]
    verify: Verify
    read: Callable[[Mapping[str, Any]], Arrived]


PLATFORMS: dict[str, Platform] = {
    "retell": Platform(retell.HEADERS, retell.verify, retell.read),
    "vapi": Platform(vapi.HEADERS, vapi.verify, vapi.read),
    "elevenlabs": Platform(elevenlabs.HEADERS, elevenlabs.verify, elevenlabs.read),
}

__all__ = ["PLATFORMS", "Arrived", "BadSignature", "Platform"]

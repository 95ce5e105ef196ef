"""The platforms whose webhooks Debrief receives.

Each has a package with a signature, a mapping, and setup steps: functions that know nothing of the
database. docs/platforms.md says what each was checked against.
"""

from . import elevenlabs, retell, vapi
from .adapter import Adapter

PLATFORMS: dict[str, Adapter] = {
    "retell": retell.ADAPTER,
    "vapi": vapi.ADAPTER,
    "elevenlabs": elevenlabs.ADAPTER,
}

GUIDES = {kind: adapter.guide for kind, adapter in PLATFORMS.items()}

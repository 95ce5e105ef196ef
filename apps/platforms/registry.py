"""The platforms whose webhooks Debrief receives.

Each has a package with a signature, a mapping, and setup steps: functions that neither read nor
write the database. docs/platforms.md says how each was checked.
"""

from . import elevenlabs, retell, vapi
from .adapter import Adapter

PLATFORMS: dict[str, Adapter] = {
    "retell": retell.ADAPTER,
    "vapi": vapi.ADAPTER,
    "elevenlabs": elevenlabs.ADAPTER,
}

GUIDES = {kind: adapter.guide for kind, adapter in PLATFORMS.items()}

"""ElevenLabs."""

from apps.platforms.adapter import Adapter

from . import mapping, setup, signature

ADAPTER = Adapter(signature.HEADERS, signature.verify, mapping.read, setup.GUIDE)

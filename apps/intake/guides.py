"""Whose secret each platform signs with; the steps at the platform are in templates/intake.

By the platforms' public documentation of their webhooks and how those authenticate.
"""

from dataclasses import dataclass
from typing import Literal

from .models import Platform


@dataclass(frozen=True, slots=True)
class Guide:
    """The words of one platform.

    ``origin``: the secret is ``theirs`` and exists before the source, ``ours`` and made here, or
    made by the platform ``afterwards``, once it knows the door.
    """

    kind: str
    label: str
    origin: Literal["theirs", "ours", "afterwards"]
    where: str
    events: str

    @property
    def optional(self) -> bool:
        """Whether a source is made without one."""
        return self.origin != "theirs"

    @property
    def steps(self) -> str:
        """The template with what to do at the platform."""
        return f"intake/_steps_{self.kind}.html"


_RETELL = Guide(
    kind=Platform.RETELL.value,
    label=Platform.RETELL.label,
    origin="theirs",
    where="Retell signs with an API key of yours: in its dashboard under API Keys, copy the one "
    "with the “Webhook” badge. No other key will do.",
    events="call_started, call_ended, call_analyzed, chat_started, chat_ended, chat_analyzed, "
    "transfer_started, transfer_bridged, transfer_cancelled, transfer_ended",
)
_VAPI = Guide(
    kind=Platform.VAPI.value,
    label=Platform.VAPI.label,
    origin="ours",
    where="Vapi sends a secret that you choose. Leave this empty, and a strong one is made and "
    "shown to you once.",
    events="end-of-call-report, status-update",
)
_ELEVENLABS = Guide(
    kind=Platform.ELEVENLABS.value,
    label=Platform.ELEVENLABS.label,
    origin="afterwards",
    where="ElevenLabs makes the secret when it is told the address of the door, which you get "
    "next. Leave this empty and enter the secret then.",
    events="post_call_transcription, call_initiation_failure",
)
GUIDES: dict[str, Guide] = {guide.kind: guide for guide in (_RETELL, _VAPI, _ELEVENLABS)}

"""How a source of ElevenLabs is set up; the steps there are in templates/platforms/elevenlabs/."""

from apps.platforms.adapter import SetupGuide
from apps.platforms.models import Platform

GUIDE = SetupGuide(
    kind=Platform.ELEVENLABS.value,
    label=Platform.ELEVENLABS.label,
    origin="afterwards",
    where="ElevenLabs makes the secret when it is told the address of the door, which you get "
    "next. Leave this empty and enter the secret then.",
    events="post_call_transcription, call_initiation_failure",
    dashboard="https://elevenlabs.io/app/",
)

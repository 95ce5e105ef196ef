"""How a source of ElevenLabs is set up; the steps there are in templates/platforms/elevenlabs/."""

from apps.platforms.adapter import SetupGuide
from apps.platforms.models import Platform

GUIDE = SetupGuide(
    kind=Platform.ELEVENLABS.value,
    label=Platform.ELEVENLABS.label,
    origin="afterwards",
    where="ElevenLabs creates the secret after you add the webhook URL. Leave this blank for now.",
    events="post_call_transcription, call_initiation_failure",
    dashboard="https://elevenlabs.io/app/",
    where_afterwards="ElevenLabs shows it once, when the webhook is created. Starts with wsec_.",
)
